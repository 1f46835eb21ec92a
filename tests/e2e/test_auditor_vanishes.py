"""T092 as people run it: the auditor seals, releases S1 and vanishes; trustees and a regulator open what it owes."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.real_audit import Ran, RealAudit, real_audit

STRUCTURE = {
    "branches": [
        {"id": "assisted", "groups": [{"need": 1, "of": ["regulator.example"]}, {"need": 1, "of": ["t1", "t2"]}]},
        {"id": "trustees", "groups": [{"need": 2, "of": ["t1", "t2", "t3"]}]},
    ]
}


def policy(seconds: int) -> dict[str, Any]:
    """C2 is owed to the regulator so many seconds after delivery; everything else may be released."""
    rules = [
        {"id": f"{name}-r", "class": name, "to": "REGULATOR", "permit": "RUN_CLOSED"}
        for name in ("C1", "C3", "C5", "C6", "C7", "C8")
    ]
    owed = {
        "id": "C2-r",
        "class": "C2",
        "to": "REGULATOR",
        "permit": "DELIVERED",
        "oblige": f"DELIVERED + PT{seconds}S",
    }
    return {"v": "safeconduct-policy/v1", "rules": [*rules, owed | {"escrow": ["assisted", "trustees"]}]}


async def people(audit: RealAudit) -> None:
    """Make the regulator and three trustees and name them in the auditor's settings."""
    names = {"regulator.example": "regulator", "t1": "escrow", "t2": "escrow", "t3": "escrow"}
    for name, role in names.items():
        made = await audit.command("identity", "new", "--role", role, "--id", name, "--into", str(audit.folder / name))
        assert made.code == 0, made.err
        shutil.copy(audit.folder / name / "identity.json", audit.auditor.path / f"{name}.json")
    (audit.auditor.path / "escrow.json").write_text(json.dumps(STRUCTURE))
    named = json.dumps([f"{name}.json" for name in names])
    text = audit.auditor.settings.read_text()
    audit.auditor.settings.write_text(f'recipients = {named}\nescrow = "escrow.json"\n{text}')
    identities = [audit.auditor.identity, audit.lab.home.identity, *(audit.folder / n / "identity.json" for n in names)]
    trusted = await audit.command("trust", *map(str, identities), "--out", str(audit.folder / "trust.json"))
    assert trusted.code == 0, trusted.err


def quiet_shorter(audit: RealAudit) -> None:
    """Agree on a short skew, so that a test need not wait for minutes."""
    settings = audit.lab.home.settings
    settings.write_text(settings.read_text().replace("[timing]", "[timing]\nskew_seconds = 1", 1))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_holders_open_what_a_vanished_auditor_owes(tmp_path: Path) -> None:
    """T092, T104: seal, verify, silence, release, combine, verify."""
    drafts = [Draft(task.fields, task.question) for task in suite(6, size=7).tasks]
    audit = real_audit(tmp_path, drafts, design().plan, script={"otherwise": "yes"})
    (audit.lab.path / "policy.json").write_text(json.dumps(policy(4)))
    quiet_shorter(audit)
    await people(audit)
    trust = ("--trust", str(tmp_path / "trust.json"))

    async def held_by(name: str, *words: str) -> Ran:
        return await audit.command("escrow", *words, *trust, "--home", str(tmp_path / name))

    await audit.lab.start()
    try:
        for step in ("propose", "run", "close", "grade"):
            await audit.must(step)
        said = await audit.must("seal")
        files = sorted((audit.auditor.path / "escrow").iterdir())
        assert [path.name for path in files] == ["01-regulator.example.json", "02-t1.json", "03-t2.json", "04-t3.json"]
        assert "in escrow: C2" in said.out
        again = await audit.must("seal")  # deals nothing anew
        assert again.out == said.out

        receipts = []
        for path, name in zip(files, ("regulator.example", "t1", "t2", "t3"), strict=True):
            receipt = tmp_path / f"receipt-{name}.json"
            checked = await held_by(name, "verify", str(path), "--out", str(receipt))
            assert checked.code == 0, checked.err
            receipts.append(str(receipt))
        others = await held_by("t1", "verify", str(files[2]))
        assert (others.code, "FILE_UNUSABLE" in others.err) == (81, True)
        await audit.must("escrow-receipts", *receipts)
        await alive(audit, files[1])
        await audit.must("release", "S1")
    finally:
        await audit.lab.stop()
    code, out, errors = await audit.lab.command("fsck")
    assert (code, errors) == (0, ""), out
    await vanished(audit, held_by)


async def alive(audit: RealAudit, shares: Path) -> None:
    """The regulator asks t1 whether it still holds its shares."""
    folder = audit.folder
    trust = ("--trust", str(folder / "trust.json"))
    question, answer = folder / "question.json", folder / "answer.json"
    asked = await audit.command(
        *("escrow", "challenge", str(shares), "--holder", "t1", *trust),
        *("--home", str(folder / "regulator.example"), "--out", str(question)),
    )
    assert asked.code == 0, asked.err
    told = await audit.command(
        *("escrow", "alive", str(question), str(shares), *trust),
        *("--home", str(folder / "t1"), "--out", str(answer)),
    )
    assert told.code == 0, told.err
    checked = await audit.command("escrow", "answered", str(answer), str(question), str(shares), *trust)
    assert (checked.code, "t1 held all its shares" in checked.out) == (0, True), checked.err


async def vanished(audit: RealAudit, held_by: Any) -> None:
    """Everything from here on happens without the auditor and without the lab."""
    folder = audit.folder
    kept = folder / "evidence-S1.zip"
    shutil.copy(audit.auditor.evidence / "evidence-S1.zip", kept)
    shutil.rmtree(audit.auditor.path)
    trust = ("--trust", str(folder / "trust.json"))
    wanted = ("release", str(kept), "--class", "C2", "--rule", "C2-r")
    before = await audit.command("verify", str(kept), *trust, "--at", "2026-01-01T00:00:00Z", "--json")
    assert before.code == 0, before.out
    assert json.loads(before.out)["derivedAssurance"]["disclosure"] == "DE2"
    await asyncio.sleep(8)
    now = await audit.command("verify", str(kept), *trust, "--at", "2099-01-01T00:00:00Z", "--json")
    assert now.code == 51, now.out

    future = await held_by("t1", *wanted, "--at", "2099-01-01T00:00:00Z")
    assert (future.code, "DISCLOSURE_FORBIDDEN" in future.err) == (50, True)
    for name in ("regulator.example", "t1"):
        released = await held_by(name, *wanted, "--out", str(folder / f"release-{name}.json"))
        assert released.code == 0, released.err
    combine = ("--evidence", str(kept), "--out", str(folder / "escrow-release-C2.json"))
    alone = await held_by("regulator.example", "combine", str(folder / "release-regulator.example.json"), *combine)
    assert (alone.code, "ESCROW_QUORUM_UNMET" in alone.err) == (80, True)
    both = [str(folder / f"release-{name}.json") for name in ("regulator.example", "t1")]
    opened = await held_by("regulator.example", "combine", *both, *combine)
    assert opened.code == 0, opened.err
    assert (folder / "escrow-release-C2.json").stat().st_mode & 0o777 == 0o600

    release = ("--escrow", str(folder / "escrow-release-C2.json"))
    after = await audit.command("verify", str(kept), *trust, *release, "--at", "2099-01-01T00:00:00Z", "--json")
    report = json.loads(after.out)
    assert after.code == 0, after.out
    assert [told["holders"] for told in report["escrow"]] == [["regulator.example", "t1"]]
    assert report["figures"][0]["id"] == "overall"
    readable = await audit.command("verify", str(kept), *trust, *release)
    assert "RELEASED by escrow" in " ".join(readable.out.split())
    exported = await audit.command("open", str(kept), *trust, *release, "--into", str(folder / "opened"))
    assert exported.code == 0, exported.err
    key = json.loads((folder / "escrow-release-C2.json").read_text())["key"]
    assert not [text for text in audit.said if key in text]
