"""Grading a run that took place: by rules, by a judge, and under a plan that is departed from in the open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attestations.digests import sha256
from attestations.errors import PhaseViolation
from attestations.judged import PROMPT
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import commit_grades, grade_all, waiting_for_judge
from auditor_client.history import read_history
from auditor_client.judging import judge_all
from tests.support.audit_world import TestClock, World, design, suite, suite_key
from tests.support.simulated_lab import SimulatedLab
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_hard_paths import closed, speaker
from tests.unit.auditor_client.test_judging import DECLARED


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    """An audit of seven items."""
    world, clock = World(), TestClock()
    opened = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    yield opened
    await opened.close()


async def test_a_deviation_is_declared_before_the_grades_or_not_at_all(audit: Audit) -> None:
    """T114: what the auditor declares stands in the log; once grades are fixed it is refused at home already."""
    await closed(audit)
    plan = sha256(design().plan.to_bytes())
    receipt = await speaker(audit).deviate("exclusions", "the sixth task was misprinted", plan=plan, arm=None)
    history = read_history(audit.mirror, audit.world.engagement().agreement, audit.world.engagement().digest)
    assert [item.leaf for item in history.deviations] == [int(receipt.log_index)]
    graded = await grade_all(audit.suite, journal=audit.journal)
    engagement = audit.world.engagement()
    await commit_grades(
        graded, suite_key(), engagement=engagement, lab=audit.lab, journal=audit.journal, clock=audit.clock
    )
    with pytest.raises(PhaseViolation):
        await speaker(audit).deviate("headline", "another arm did better", plan=plan, arm="as_shipped")


async def test_an_answer_is_graded_by_its_judge_or_waits_for_it(audit: Audit) -> None:
    await closed(audit)
    target = {"grader": "judged", "judge": "judge", "reference": None}
    tasks = [
        task.model_copy(update={"fields": {**task.fields, "target": ("C6", target)}}) if task.i < 2 else task
        for task in audit.suite.tasks
    ]
    suite = FrozenSuite(audit.suite.suite_id, tasks)
    waiting = await waiting_for_judge(suite, journal=audit.journal)
    assert len(waiting) == 2
    with pytest.raises(PhaseViolation, match="wait for their judge"):
        await grade_all(suite, journal=audit.journal)

    async def ask(_: str) -> str:
        return "GRADE: C"

    await judge_all(waiting, DECLARED, PROMPT, ask, audit.journal)
    assert await waiting_for_judge(suite, journal=audit.journal) == []
    graded = await grade_all(suite, journal=audit.journal)
    judged = [row.value for row in graded.rows if row.value.judged]
    assert [value.outcome for value in judged] == ["correct", "correct"]
