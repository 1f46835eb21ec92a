"""Audits in arms: DEV chooses, TEST is asked once an arm, and a stranger plays every scaffold again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.arms_audit import ArmsAudit
from tests.support.reports import assert_holds


@pytest.fixture
async def arms(tmp_path: Path) -> AsyncIterator[ArmsAudit]:
    """An audit in three arms, registered."""
    opened = await ArmsAudit.at(tmp_path)
    yield opened
    await opened.close()


async def test_every_stage_of_an_audit_in_arms_verifies(arms: ArmsAudit) -> None:
    await arms.with_pack()
    ran = await arms.run()
    assert ran.waiting == ()
    assert (ran.progress.total, ran.progress.done) == (3 * 15, 3 * 15)
    await arms.finish()

    reports = [await arms.verify(stage) for stage in ("S1", "S2", "S3", "S4", "S5")]
    for report in reports:
        assert_holds(report)
        assert report.assurance is not None
        assert report.assurance.elicitation == "EL2"
    claim = reports[-1].predicate.elicitation if reports[-1].predicate else None
    assert claim is not None
    assert (claim.best, claim.lab_pack.status) == ("auditor_best", "provided")
    overall = {gap.arm: gap for gap in claim.gaps if gap.category is None}
    assert (overall["auditor_best"].value, overall["lab_pack"].value) == ("0.5000", "0.5000")
    assert float(overall["auditor_best"].interval[0]) > 0
