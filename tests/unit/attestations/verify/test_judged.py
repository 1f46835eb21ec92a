"""Grades that a model gave: marked, checked as far as they can be, and no more assured than they are."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.dialogue import ChatResult
from attestations.errors import GraderDigestMismatch, ScoreMismatch
from attestations.grades import GradeRow
from attestations.verify.engine import Request
from tests.support import world_suite
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.support.world_suite import Task
from tests.unit.auditor_client.test_judging import DECLARED


def judged_tasks() -> list[Task]:
    """Tasks whose answers in words a model grades."""

    def about(task: Task) -> Task:
        if task.target is None or task.target["grader"] != "exact" or task.kind != "test":
            return task
        target = {"grader": "judged", "judge": "judge", "reference": None}
        return Task(task.i, {**task.fields, "target": ("C6", target), "graderRef": ("C6", "judged")})

    return [about(task) for task in world_suite.make_tasks(40)]


def model(task: Task) -> Any:
    return ChatResult(content=f"an essay on {task.i}") if task.target["grader"] == "judged" else world_suite.model(task)


def world(*, alter: dict[str, Any] | None = None, judges: Any = (DECLARED,), **plan: Any) -> World:
    tasks = judged_tasks()
    declared = {"judges": [judge.json_value() for judge in judges]}
    measures = {"measures": [{"id": "corrected", "measure": "judge_corrected", "category": None}]}
    return World(
        tasks=tasks, plan=world_suite.plan(tasks, **(declared | measures | plan)), model=model, hooks=Hooks(alter or {})
    )


def test_grades_of_a_model_are_said_to_be_its_word() -> None:
    made = world()
    for stage in ("S2", "S3", "S5"):
        report = made.verify(stage)
        assert_holds(report)
        assert report.predicate is not None
        assert report.predicate.validity is not None
        assert report.predicate.validity.judged == "16"
        assert any("a model's word" in line for line in report.limitations)
        assert report.assurance is not None
        assert report.assurance.grader_integrity == "GI1"
        corrected = report.predicate.measures[0]
        assert corrected.interpretable
        assert corrected.interval is not None
        assert corrected.interval[0] <= corrected.value <= corrected.interval[1]


def test_grades_that_were_given_again_are_the_best_there_are() -> None:
    made = World()
    for stage, level in (("S1", "GI0"), ("S3", "GI0"), ("S5", "GI3")):
        report = made.verify(stage)
        assert report.assurance is not None
        assert report.assurance.grader_integrity == level
    assert_holds(made.verify("S5", request=Request(require=("GI>=3",))))


def rows(change: Any) -> dict[str, Any]:
    def changed(rows: list[GradeRow]) -> list[GradeRow]:
        return [row._replace(value=row.value.model_copy(update=change(row.value))) for row in rows]

    return {"rows": changed}


@pytest.mark.parametrize(
    "lie",
    [
        rows(lambda value: {"judged": None}),  # as if a rule had given it
        rows(lambda value: {"judged": True} if value.role != "none" else {}),  # as if nobody could repeat it
        rows(lambda value: {"outcome": "truncated", "score": "0"} if value.judged else {}),
    ],
)
def test_a_grade_no_judges_word_could_give_is_refused(lie: dict[str, Any]) -> None:
    """T112."""
    assert_refused(world(alter=lie).verify("S5"), ScoreMismatch, 41)


def test_a_judge_that_the_plan_does_not_name_grades_nothing() -> None:
    """T035: the grader is the declared one."""
    other = DECLARED.model_copy(update={"name": "friend"})
    assert_refused(world(judges=(other,)).verify("S5"), GraderDigestMismatch, 41)
