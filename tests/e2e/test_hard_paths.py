"""Orders, emergencies, views and receipts by the commands of four parties, over files and real gRPC."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attestations.documents.agreement import PartyKey
from attestations.documents.base import encode
from attestations.identity import Identity
from attestations.keys import KeyUse, P256Signer
from tests.support.forking import start

BIO = "CLEARED(bio)"


async def run(folder: Path, command: str, *, code: int = 0) -> str:
    """Run one command and return what it prints."""
    process = start(shlex.split(command), cwd=folder)
    out, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == code, f"{command}\n{errors.decode()}\n{out.decode()}"
    return out.decode() + errors.decode()


def party(folder: Path, role: str, name: str, group: str | None = None) -> None:
    """Make the folder of a party that runs no service."""
    signer = P256Signer.generate(party=name, use=KeyUse.AGREEMENT)
    (folder / "keys").mkdir(parents=True)
    (folder / "keys/agreement.pem").write_bytes(signer.to_pem())
    identity = Identity(
        role=role,  # type: ignore[arg-type]
        id=name,
        keys=(PartyKey(use="agreement", public=encode(signer.key.public)),),
        group=group,
    )
    (folder / "identity.json").write_bytes(identity.to_bytes())


def policy() -> str:
    """Everything for the regulator at once but C7, which waits for an order; C7 for the cleared by an emergency."""
    rules: list[dict[str, object]] = [
        {"id": f"{name}-r", "class": name, "to": "REGULATOR", "permit": "RUN_CLOSED"}
        for name in ("C1", "C2", "C3", "C5", "C6", "C8")
    ]
    rules += [{"id": f"{name}-p", "class": name, "to": "PUBLIC", "permit": "RUN_CLOSED"} for name in ("C1", "C2", "C3")]
    rules += [{"id": f"{name}-p", "class": name, "to": "PUBLIC", "permit": "RUN_CLOSED"} for name in ("C5", "C6")]
    found = {"class": "C4", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P30BD"}
    rules += [{"id": "C4-r", "to": "REGULATOR", **found}, {"id": "C4-l", "to": "LAB_SAFETY", **found}]
    waits = {"or": ["ORDER(*)", "TIME(anchor+P300D+hold)"]}
    rules.append({"id": "C7-r", "class": "C7", "to": "REGULATOR", "permit": waits})
    rules.append({"id": "C7-b", "class": "C7", "to": BIO, "permit": {"or": ["EMERGENCY(*)", "TIME(anchor+P300D)"]}})
    return json.dumps({"v": "safeconduct-policy/v1", "maxHold": "P5BD", "rules": rules})


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with a serving lab, an auditor whose packages are delivered, a regulator and a cleared laboratory."""
    await run(tmp_path, "lab init --id lab.example --home lab")
    await run(tmp_path, "auditor init --id auditor.example --home auditor")
    await run(tmp_path, "lab admit auditor/identity.json --home lab")
    party(tmp_path / "regulator", "regulator", "office.example")
    party(tmp_path / "clinic", "recipient", "clinic.example", "bio")
    shutil.copy(tmp_path / "lab/identity.json", tmp_path / "auditor/lab-identity.json")
    settings = tmp_path / "lab/lab.toml"
    text = settings.read_text().replace('kind = "llama"', 'kind = "scripted"\nscript = "script.json"', 1)
    settings.write_text(text.replace("127.0.0.1:7443", "127.0.0.1:0") + 'policy = "policy.json"\n')
    (tmp_path / "lab/script.json").write_text(json.dumps({"otherwise": "pwd"}))
    (tmp_path / "lab/policy.json").write_text(policy())
    await run(tmp_path, "auditor suite new --home auditor")
    await run(tmp_path, "auditor suite commit --home auditor")
    ready = tmp_path / "ready.json"
    serving = start(("lab", "serve", "--home", "lab", "--ready-file", str(ready)), cwd=tmp_path, out=False)
    while not ready.exists():
        assert serving.returncode is None
        await asyncio.sleep(0.05)
    toml = tmp_path / "auditor/auditor.toml"
    text = toml.read_text().replace("127.0.0.1:7443", json.loads(ready.read_text())["address"])
    recipients = 'recipients = ["../regulator/identity.json", "../clinic/identity.json"]\n'
    toml.write_text(recipients + "\n".join(line for line in text.splitlines() if not line.startswith("recipients")))
    try:
        for command in ("propose", "run", "close", "grade", "seal"):
            await run(tmp_path, f"auditor {command} --home auditor")
        await run(
            tmp_path, "trust lab/identity.json auditor/identity.json regulator/identity.json clinic/identity.json"
        )
        yield tmp_path
    finally:
        serving.terminate()
        assert await serving.wait() == 0
    await run(tmp_path, "lab fsck --home lab")


async def release(folder: Path, stage: str, to: str, *options: str) -> Path:
    """Release and verify one stage; returns the file."""
    out = folder / f"{stage}-{to.split('(', maxsplit=1)[0]}.zip"
    words = " ".join(options)
    await run(folder, f"auditor release {stage} --to '{to}' {words} --home auditor --out {out}")
    await run(folder, f"verify {out.name} --trust trust.json")
    return out


@pytest.mark.slow
@pytest.mark.timeout(900)  # some sixty commands, each a process of its own
async def test_four_parties_by_their_commands(audit: Path) -> None:
    """T098, T101, T102, T103, T106, T107, T108, T109."""
    for stage in ("S1", "S2", "S3"):
        await release(audit, stage, "REGULATOR")
        await release(audit, stage, "PUBLIC")
    public = await release(audit, "S4", "PUBLIC", "--redact C6/target=SECURITY", "--redact C5/prompt@0-9=REUSE")
    regulator = await release(audit, "S4", "REGULATOR")
    shown = json.loads(await run(audit, f"verify {public.name} --trust trust.json --json"))
    assert shown["redactions"]["C5"]["closed"] == [{"reason": "REUSE", "by": "auditor", "fields": 10}]
    assert json.loads(await run(audit, f"verify {regulator.name} --trust trust.json --json"))["redactions"] == {}
    refused = await run(audit, "auditor release S4 --to PUBLIC --redact C2=LEGAL --home auditor", code=50)
    assert "REDACTION_NOT_ALLOWED" in refused
    assert "TLP_DOWNGRADE" in await run(
        audit, "auditor release S5 --to REGULATOR --only C8 --tlp AMBER --home auditor --out x.zip", code=50
    )

    order = f"regulator order {regulator.name} --class C7 --to REGULATOR --out order.json"
    await run(audit, f"{order} --basis ' '")
    assert "ORDER_INVALID" in await run(audit, "auditor submit order.json --home auditor", code=50)
    await run(audit, order.replace("--class C7", "--class C7 --class C10") + " --basis 'Article 91'")
    assert "ORDER_OUT_OF_SCOPE" in await run(audit, "lab submit order.json --home lab", code=50)
    assert "not permitted" in await run(audit, "auditor release S5 --home auditor --out x.zip", code=50)
    await run(audit, f"{order} --basis 'Article 91'")
    await run(audit, "auditor submit order.json --home auditor")
    last = await release(audit, "S5", "REGULATOR")

    said = await run(audit, f"auditor emergency found-it --items 'C7:3' --to '{BIO}' --home auditor")
    assert "The lab has the notice" in said
    wider = "auditor/emergencies/found-it.wider.json"
    assert "EMERGENCY_QUORUM_UNMET" in await run(audit, f"auditor submit {wider} --home auditor", code=50)
    await run(audit, f"regulator countersign {wider} --out both.json")
    await run(audit, "auditor submit both.json --home auditor")
    cleared = await release(audit, "S5", BIO, "--only C7")
    narrow = json.loads(await run(audit, f"verify {cleared.name} --trust trust.json --json"))["redactions"]["C7"]
    assert (narrow["opened"], narrow["closed"][0]["reason"]) == (2, "NOT_IN_SCOPE")

    await finding(audit)
    for receipt in (await _receipts(audit, last)).iterdir():
        await run(audit, f"lab submit {receipt} --home lab")
    status = await run(audit, "lab status --home lab")
    digest = next(line.split()[-1] for line in status.splitlines() if "released: C7 to REGULATOR" in line)
    await run(audit, f"lab recall {digest} --reason 'please' --home lab")
    await run(audit, f"auditor correct {digest} --text 'a typing error' --home auditor")
    (audit / "leak.txt").write_bytes((audit / "auditor/emergencies/found-it.jsonl").read_bytes())
    assert "is transcript 3" in await run(audit, "provenance S1-PUBLIC.zip leak.txt --trust trust.json")


async def finding(folder: Path) -> None:
    """A flaw report goes to lab and regulator; the log has notice of it, and only those who hold it can read it."""
    said = ('title = "canary-title"', 'severity = "high"', 'description = "canary-flaw"', "tasks = [3]")
    flaw = "\n".join(('variant = "smollm2-135m-instruct"', *said))
    (folder / "flaw.toml").write_text(flaw)
    assert "DISCLOSURE_FORBIDDEN" in await run(
        folder, "auditor finding F1 --report flaw.toml --to PUBLIC --home auditor", code=50
    )
    (folder / "typo.toml").write_text(flaw.replace("severity", "severty"))
    assert "typo.toml: sever" in await run(folder, "auditor finding F1 --report typo.toml --home auditor", code=81)
    assert not (folder / "auditor/findings").exists()
    await run(folder, "auditor finding F1 --report flaw.toml --to LAB_SAFETY --home auditor")
    await run(folder, "auditor finding F1 --to REGULATOR --home auditor")
    for side in ("lab", "auditor"):  # the lab learns of it from its own status
        assert "  finding F1 for LAB_SAFETY, leaf " in await run(folder, f"{side} status --home {side}")
    late = await release(folder, "S1", "REGULATOR", "--tlp RED")
    shown = await run(folder, f"finding auditor/findings/F1.json --evidence {late.name} --trust trust.json")
    assert "canary-flaw" in shown
    assert shown.count("leaf ") == 2
    with zipfile.ZipFile(late) as evidence:
        assert not [name for name in evidence.namelist() if b"canary-" in evidence.read(name)]
    assert not [path for path in (folder / "lab").iterdir() if path.is_file() and b"canary-" in path.read_bytes()]
    early = "finding auditor/findings/F1.json --evidence S1-PUBLIC.zip --trust trust.json"
    assert "COMMITMENT_MISMATCH" in await run(folder, early, code=30)


async def _receipts(folder: Path, file: Path) -> Path:
    await run(folder, f"regulator receipt {file.name} --trust trust.json --into receipts")
    return folder / "receipts"


@pytest.mark.slow
@pytest.mark.timeout(900)  # some sixty commands, each a process of its own
async def test_an_engagement_given_up_by_its_commands(audit: Path) -> None:
    """T110: too late once everything is delivered."""
    assert "PHASE_VIOLATION" in await run(audit, "auditor abort 'the results are bad' --home auditor", code=80)
