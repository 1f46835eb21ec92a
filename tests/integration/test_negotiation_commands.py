"""A lab and an auditor negotiate by their commands: real processes, real TLS, a person at each side."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a dozen processes each, on machines with little to spare
MANUAL = 'review = "manual"\noffer_hours = 48\n'


def _audit(folder: Path, grant: str) -> RealAudit:
    from auditor_client.committing import Draft

    drafts = [Draft(task.fields, task.question) for task in suite(4, size=5).tasks]
    plan = design().plan.model_copy(update={"scored_tasks": 4})
    audit = real_audit(folder, drafts, plan, script={"otherwise": "yes"})
    with audit.lab.home.settings.open("a") as settings:
        settings.write(grant)
    return audit


@pytest.fixture
async def manual(tmp_path: Path) -> AsyncIterator[RealAudit]:
    """A lab where a person decides, serving."""
    audit = _audit(tmp_path, MANUAL)
    await audit.lab.start()
    yield audit
    assert await audit.lab.stop() == 0
    checked = await audit.lab.command("fsck")
    assert checked[::2] == (0, ""), checked


@pytest.fixture
async def automatic(tmp_path: Path) -> AsyncIterator[RealAudit]:
    """A lab that decides by itself, serving."""
    audit = _audit(tmp_path, "")
    await audit.lab.start()
    yield audit
    assert await audit.lab.stop() == 0
    checked = await audit.lab.command("fsck")
    assert checked[::2] == (0, ""), checked


async def lab(audit: RealAudit, *words: str) -> str:
    code, out, errors = await audit.lab.command(*words)
    assert (code, errors) == (0, ""), (words, errors)
    return out


async def test_a_counter_offer_is_reviewed_accepted_and_concluded_by_people(manual: RealAudit) -> None:
    said = (await manual.must("propose")).out
    assert "our offer is on the table" in said
    assert "auditor review" in said
    assert "audit-1 with auditor.example: their offer is on the table" in await lab(manual, "offers")

    draft = manual.folder / "draft.toml"
    shown = manual.folder / "offer.html"
    page = await lab(manual, "review", "audit-1", "--out", str(draft), "--html", str(shown))
    assert "Offer 0 by the auditor (theirs)" in shown.read_text()
    assert "How much may be asked\n  requests in all: 100000" in page
    assert "Differences from the lab's terms\n  no differences" in page
    assert "safeconduct lab accept audit-1" in page
    draft.write_text(draft.read_text().replace('requests = "100000"', 'requests = "500"'))
    await lab(manual, "counter", "audit-1", "--edit", str(draft), "--hours", "2")

    page = (await manual.must("review", "--html", str(shown))).out
    assert "Changes since the offer before" in shown.read_text()
    assert "Offer 1 (theirs)" in page
    assert "Changes since the offer before\n  How much may be asked\n    requests in all: 100000 -> 500" in page
    offer = re.search(r"offer     ([0-9a-f]{64})", page)
    assert offer is not None
    said = (await manual.must("accept", "--offer", offer[1])).out
    assert "they have to conclude" in said
    assert (await manual.run("withdraw")).err.startswith("safeconduct: ")

    assert "we can conclude" in await lab(manual, "offers")
    digest = (await lab(manual, "conclude", "audit-1")).split()[-1]
    assert f"agreement {digest}" in (await manual.must("conclude")).out
    await manual.must("run")


async def test_a_rejection_says_why_and_another_offer_follows(manual: RealAudit) -> None:
    await manual.must("propose")
    assert "rejected" in await lab(manual, "reject", "audit-1", "--reason", "too many requests")
    assert "the lab rejected the last offer" in (await manual.must("review")).out
    changes = manual.folder / "ours.json"
    changes.write_text(json.dumps({"budget": {"requests": "50"}}))
    await manual.must("propose", "--offer", str(changes))
    page = await lab(manual, "review", "audit-1")
    assert "requests in all: 100000 -> 50" in page
    await manual.must("withdraw")
    refused = await manual.lab.command("accept", "audit-1")
    assert refused[0] == ExitCode.REFUSED
    assert "no offer is on the table" in refused[2]


async def test_a_lab_that_does_not_serve_decides_as_well(manual: RealAudit, tmp_path: Path) -> None:
    audit = manual
    await audit.must("propose", "--hours", "10")
    await audit.lab.stop()

    assert "accepted" in await lab(audit, "accept", "audit-1")
    await audit.lab.start()
    assert "agreement " in (await audit.must("conclude")).out
    draft = tmp_path / "amendment.toml"
    await audit.must("amend", "--out", str(draft))
    draft.write_text(draft.read_text().replace('requests = "100000"', 'requests = "200000"'))
    assert "our amendment is on the table" in (await audit.must("amend", "--edit", str(draft))).out
    await audit.lab.stop()
    assert "amendment is on the table" in await lab(audit, "offers")
    await lab(audit, "accept", "audit-1")
    ours = await audit.lab.command("conclude", "audit-1")
    assert ours[0] == ExitCode.REFUSED
    await audit.lab.start()
    assert "requests: 200000" in (await audit.must("conclude")).out
    await audit.must("run")
    await audit.must("close")


async def test_the_lab_amends_and_both_end_it(automatic: RealAudit, tmp_path: Path) -> None:
    """An amendment by the lab is in force from its leaf; a termination needs both, and releases stay owed."""
    audit = automatic
    await audit.must("propose")
    await audit.must("run")
    draft = tmp_path / "amendment.toml"
    await lab(audit, "amend", "audit-1", "--out", str(draft))
    text = draft.read_text().replace('requests = "100000"', 'requests = "7000"')
    draft.write_text(text)
    await lab(audit, "amend", "audit-1", "--edit", str(draft))
    said = (await audit.must("accept")).out
    assert "requests: 7000" in said

    assert "asked for" in await lab(audit, "terminate", "audit-1", "--reason", "the model is retired")
    assert "they asked to end it" in (await audit.must("review")).out
    assert "terminated" in (await audit.must("terminate")).out
    for words in (("close",), ("grade",), ("seal",), ("release", "S1"), ("release", "S2")):
        await audit.must(*words)
    verified = await audit.verify("S2")
    assert verified.code == 0, verified.out
