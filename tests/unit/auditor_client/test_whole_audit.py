"""From registration to the last stage against the simulated lab; a stranger verifies what is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attestations.documents.agreement import PartyRole
from attestations.documents.engagement import Stage
from attestations.errors import (
    CloseStatementMismatch,
    DisclosureForbidden,
    ExitCode,
    PhaseViolation,
    SelectionNotReproducible,
)
from attestations.trust import Trust, TrustedParty
from attestations.verify.engine import Request, verify_path
from attestations.verify.report import Report
from auditor_client.closing import close_run
from auditor_client.grading_run import commit_grades, grade_all
from auditor_client.registering import Design
from auditor_client.releasing import STAGES, Wanted
from auditor_client.sealing_packages import deliver, seal
from auditor_client.staging import Staging
from tests.support.audit_world import TestClock, World, design, suite, suite_key
from tests.support.simulated_lab import SimulatedLab
from tests.unit.auditor_client.conftest import Audit


async def _close(audit: Audit) -> None:
    await close_run(
        engagement=audit.world.engagement(),
        lab=audit.lab,
        journal=audit.journal,
        mirror=audit.mirror,
        cosigner=audit.cosigner,
    )


async def _seal(audit: Audit) -> None:
    engagement, journal = audit.world.engagement(), audit.journal
    graded = await grade_all(audit.suite, journal=journal)
    await commit_grades(graded, suite_key(), engagement=engagement, lab=audit.lab, journal=journal, clock=audit.clock)
    manifest = await seal(
        audit.suite,
        audit.plan.plan,
        graded,
        arms=("as_shipped",),
        key=suite_key(),
        engagement=engagement,
        journal=journal,
        clock=audit.clock,
        folder=audit.folder / "packages",
    )
    await deliver(manifest, engagement=engagement, lab=audit.lab, journal=journal, folder=audit.folder / "packages")


def _staging(audit: Audit) -> Staging:
    from attestations.documents.engagement import PreRegistration
    from attestations.envelope import parse_envelope

    kept = audit.journal.recall("registration")
    assert kept is not None
    return Staging(
        releaser=audit.releaser(),
        suite=audit.suite,
        plan=audit.plan.plan,
        registration=PreRegistration.parse(parse_envelope(kept).payload),
        key=suite_key(),
        log=audit.folder / "log.jsonl",
        packages=audit.folder / "packages",
    )


def _verified(audit: Audit, path: Path) -> Report:
    roles: tuple[PartyRole, ...] = ("lab", "auditor")
    agreement = audit.world.engagement().agreement
    parties = [agreement.party(role) for role in roles]
    trust = Trust(parties=tuple(TrustedParty(role=p.role, id=p.id, keys=p.keys) for p in parties))
    with path.open("rb") as stream:
        return verify_path(stream, trust, Request())


async def test_every_stage_verifies(audit: Audit, tmp_path: Path) -> None:
    await audit.run()
    await _close(audit)
    await _seal(audit)

    for stage in STAGES:
        out = tmp_path / f"evidence-{stage}.zip"
        await _staging(audit).release(stage, "REGULATOR", out)
        report = _verified(audit, out)
        failed = [(check.step, check.detail) for check in report.checks if check.status.name == "FAIL"]
        assert (failed, report.exit_code) == ([], ExitCode.OK)


async def test_leaves_kept_for_the_next_stage_are_not_trusted(audit: Audit, tmp_path: Path) -> None:
    await audit.run()
    await _close(audit)
    await _seal(audit)
    await _staging(audit).release("S1", "REGULATOR", tmp_path / "S1.zip")
    for name in ("suite", "grade"):
        kept = audit.folder / "packages" / f"{name}-leaves.jsonl"
        kept.write_bytes(kept.read_bytes().replace(b"a", b"b", 1))

    await _staging(audit).release("S2", "REGULATOR", tmp_path / "S2.zip")
    assert _verified(audit, tmp_path / "S2.zip").exit_code is ExitCode.OK


@pytest.fixture
async def drawing(tmp_path: Path) -> AsyncIterator[Audit]:
    """An audit in which three of six scored items are to be drawn."""
    world, clock = World(), TestClock()
    plan = design()
    drawn = Design(plan.plan.model_copy(update={"scored_tasks": 3}), max_attempts=3, draw=3)
    opened = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite(), drawn)
    yield opened
    await opened.close()


async def test_every_stage_of_an_audit_of_drawn_items_verifies(drawing: Audit, tmp_path: Path) -> None:
    """T040, T041, the honest side: exactly the drawn items are asked, the others count as nothing."""
    assert drawing.journal.items() == []
    await drawing.draw()
    await drawing.run()
    assert len(drawing.lab.calls) == 4  # three drawn items and the control
    await _close(drawing)
    await _seal(drawing)

    details = ""
    for stage in STAGES:
        out = tmp_path / f"drawn-{stage}.zip"
        await _staging(drawing).release(stage, "REGULATOR", out)
        report = _verified(drawing, out)
        failed = [(check.step, check.detail) for check in report.checks if check.status.name == "FAIL"]
        assert (failed, report.exit_code) == ([], ExitCode.OK)
        details = " ".join(check.detail for check in report.checks)
    assert "the 3 of 6 scored ones were drawn" in details


async def test_a_draw_survives_crashes_at_every_step(drawing: Audit) -> None:
    await drawing.draw()
    items = drawing.journal.items()
    size = drawing.lab.tree.size
    again = await drawing.crashed()
    await again.draw()
    assert (items, size) == (again.journal.items(), again.lab.tree.size)
    again.journal._db.execute("DELETE FROM facts WHERE name = 'drawn'")  # the answer was lost
    again.journal._db.execute("DELETE FROM items")
    await again.draw()
    assert (items, size) == (again.journal.items(), again.lab.tree.size)
    await again.close()


async def test_a_share_the_lab_had_not_committed_to_draws_nothing(drawing: Audit) -> None:
    """T040, from the lab's side."""
    drawing.lab.misbehave("another_share")
    with pytest.raises(SelectionNotReproducible):
        await drawing.draw()
    assert drawing.journal.items() == []
    with pytest.raises(PhaseViolation):
        await grade_all(drawing.suite, journal=drawing.journal)


async def test_closing_again_after_a_crash_changes_nothing(audit: Audit) -> None:
    await audit.run()
    await _close(audit)
    size = audit.lab.tree.size
    await _close(audit)

    assert size == audit.lab.tree.size


async def test_a_close_that_counts_otherwise_is_not_signed(audit: Audit) -> None:
    await audit.run()
    audit.lab.misbehave("miscount")

    with pytest.raises(CloseStatementMismatch):
        await _close(audit)
    assert audit.journal.recall("close") is None


async def test_nothing_is_released_before_the_packages_are_delivered(audit: Audit, tmp_path: Path) -> None:
    await audit.run()
    await _close(audit)

    with pytest.raises(PhaseViolation):
        await _staging(audit).releaser.release(Wanted("S1", "REGULATOR"))


async def test_a_stage_is_not_skipped(audit: Audit) -> None:
    await audit.run()
    await _close(audit)
    await _seal(audit)

    with pytest.raises(DisclosureForbidden):
        await _staging(audit).releaser.release(Wanted("S2", "REGULATOR"))


async def test_a_recipient_without_a_rule_gets_nothing(audit: Audit) -> None:
    await audit.run()
    await _close(audit)
    await _seal(audit)
    stage: Stage = "S2"
    size = audit.lab.tree.size

    with pytest.raises(DisclosureForbidden):
        await _staging(audit).releaser.release(Wanted(stage, "PUBLIC"))
    assert size == audit.lab.tree.size
