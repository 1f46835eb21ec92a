"""Every command the three guides show, run in the order a lab, an auditor and a regulator would run them."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.forking import Running, start

_COMMAND = re.compile(r"^\$ (safeconduct .*)$", re.MULTILINE)
# What the guides tell in prose: who runs what when. `serve` runs in the background, `open` needs the last stage.
ORDER = (
    "policy templates",
    "policy new",
    "policy lint",
    "policy explain",
    "policy simulate",
    "lab init",
    "auditor init",
    "lab admit",
    "auditor suite new",
    "auditor suite check",
    "auditor suite commit",
    "lab serve",
    "auditor propose",
    "auditor run",
    "auditor status",
    "auditor close",
    "auditor grade",
    "auditor seal",
    "auditor release",
    "trust",
    "verify",
    "report",
    "open",
    "render",
    "lab status",
    "lab fsck",
)
CLASSES = ("C1", "C2", "C3", "C5", "C6", "C7", "C8")


def shown(repository: Path) -> list[str]:
    """Return every command of the guides, in their order."""
    pages = [repository / "docs" / "guides" / f"{name}.md" for name in ("lab", "auditor", "regulator")]
    return [command for page in pages for command in _COMMAND.findall(page.read_text())]


def place(command: str) -> int:
    words = command.split()[1:]
    for length in (3, 2, 1):
        if " ".join(words[:length]) in ORDER:
            return ORDER.index(" ".join(words[:length]))
    raise AssertionError(f"the guides show a command this test does not know: {command}")


async def run(folder: Path, command: str) -> str:
    """Run one command as the guide writes it and return what it prints."""
    process = start(shlex.split(command)[1:], cwd=folder)
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, f"{command}\n{errors.decode()}\n{out.decode()}"
    return out.decode()


def as_told(folder: Path) -> None:
    """Do what the guides say in prose before the suite: identities, a scripted model, a policy, any free port."""
    shutil.copy(folder / "lab/identity.json", folder / "auditor/lab-identity.json")
    settings = folder / "lab/lab.toml"
    text = settings.read_text().replace('kind = "llama"', 'kind = "scripted"\nscript = "script.json"', 1)
    settings.write_text(text.replace("127.0.0.1:7443", "127.0.0.1:0") + 'policy = "policy.json"\n')
    (folder / "lab/script.json").write_text(json.dumps({"otherwise": "pwd"}))
    rules = [{"id": f"{name}-r", "class": name, "to": "REGULATOR", "permit": "RUN_CLOSED"} for name in CLASSES]
    (folder / "lab/policy.json").write_text(json.dumps({"v": "safeconduct-policy/v1", "rules": rules}))


@pytest.mark.slow
async def test_the_commands_of_the_guides_work_in_their_order(tmp_path: Path, repository: Path) -> None:
    serving: Running | None = None
    ran: set[int] = set()
    try:
        for command in sorted(dict.fromkeys(shown(repository)), key=place):
            name = ORDER[place(command)]
            ran.add(place(command))
            if name == "lab serve":
                ready = tmp_path / "ready.json"
                serving = start([*shlex.split(command)[1:], "--ready-file", str(ready)], cwd=tmp_path, out=False)
                while not ready.exists():
                    assert serving.returncode is None
                    await asyncio.sleep(0.05)
                auditor = tmp_path / "auditor/auditor.toml"
                address = json.loads(ready.read_text())["address"]
                auditor.write_text(auditor.read_text().replace("127.0.0.1:7443", address))
                continue
            said = await run(tmp_path, command)
            if name == "lab admit":
                as_told(tmp_path)
            if name == "auditor release":
                for stage in ("S2", "S3", "S4", "S5"):
                    await run(tmp_path, command.replace("S1", stage))
                for path in (tmp_path / "auditor/evidence").iterdir():
                    shutil.copy(path, tmp_path)
            if name == "verify" and "--json" not in command:
                assert "Not proven" in said
    finally:
        if serving is not None and serving.returncode is None:
            serving.terminate()
            await serving.wait()

    assert set(range(len(ORDER))) == ran
    assert (tmp_path / "opened" / "transcripts.jsonl").exists()
    assert "The evidence holds" in (tmp_path / "releases.html").read_text()
    assert "A simulation" in (tmp_path / "terms.html").read_text()


def test_the_readme_shows_the_two_commands_and_real_groups(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))

    named = set(re.findall(r"make ([a-z]+)", text))
    assert {"demo", "test", "check", "bench"} <= named <= targets
