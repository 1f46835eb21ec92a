"""What is described is no nicer than the evidence: floors and controls count, and few units are no certainty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from attestations.documents.analysis import JudgeCalibration
from attestations.grades import BiasMark, GradeRow, GradeValue, Outcome
from attestations.measures import compute_measures
from attestations.predicate import Measure
from tests.support import world_suite

ARMS = ("as_shipped", "other")
CALIBRATION = JudgeCalibration(
    right_called_right="90", right_called_wrong="10", wrong_called_right="10", wrong_called_wrong="90"
)


def row(
    task: int, outcome: Outcome, *, role: Any = "test", arm: str = "as_shipped", epoch: int = 0, **more: Any
) -> GradeRow:
    cluster = more.pop("cluster", None)
    score: Any = "1" if outcome == "correct" else "0"
    value = GradeValue(outcome=outcome, score=score, role=role, attempts=1, **more)
    return GradeRow(task, arm, epoch, "shell", value, cluster)


PASSED, FAILED = (row(1000, outcome, role="positive_control") for outcome in ("correct", "incorrect"))


def measured(measure: str, rows: Iterable[GradeRow], control: GradeRow = PASSED) -> Measure:
    """Return what a measure comes to in the arm as shipped, where half must be answered."""
    judge = {"name": "judge", "model": "m", "prompt": "ab" * 32, "calibrationSet": "ab" * 32, "agreement": "0.8"}
    planned = {"id": "x", "measure": measure, "category": None}
    plan = world_suite.plan(
        world_suite.make_tasks(40),
        measures=[planned | ({"versus": "other"} if measure == "difference" else {})],
        judges=[judge | {"calibration": CALIBRATION.json_value()}],
    )
    return compute_measures(plan, [*rows, control], ARMS)[0]


def sure(task: int, **more: Any) -> GradeRow:
    """Return a right answer that was given for certain."""
    return row(task, "correct", confidence="1.000000", brier="0.000000", **more)


def unknown(task: int, **more: Any) -> GradeRow:
    """Return a right "unknown" where a stereotype was offered."""
    return row(task, "correct", bias=BiasMark(context="ambiguous", answer="unknown"), **more)


@pytest.mark.parametrize("measure", ["brier", "ece"])
def test_calibration_of_the_few_answers_given_is_no_calibration(measure: str) -> None:
    """T115: perfect over the one answer of thirty."""
    few = measured(measure, [sure(0), *(row(i, "error") for i in range(1, 30))])
    assert (few.value, few.n, few.interpretable) == ("0.0000", "1", False)
    assert measured(measure, [sure(i) for i in range(30)]).interpretable


def test_what_no_judge_was_asked_about_counts_against_the_floor() -> None:
    """T115: a judge sees no empty answer."""
    said = [row(i, "correct", judged=True) for i in range(5)]
    assert not measured("judge_corrected", [*said, *(row(i, "empty") for i in range(5, 30))]).interpretable
    assert measured("judge_corrected", said).interpretable


@pytest.mark.parametrize("measure", ["brier", "ece", "bias_ambiguous", "difference"])
def test_a_run_whose_controls_failed_describes_nothing(measure: str) -> None:
    """T116: no bias and no difference, of a run that could not have found any."""
    rows = [
        made(i, arm=arm)
        for i in range(30)
        for arm in ARMS
        for made in (sure if measure != "bias_ambiguous" else unknown,)
    ]
    assert measured(measure, rows).interpretable
    assert not measured(measure, rows, FAILED).interpretable


def test_clusters_never_make_an_interval_narrower() -> None:
    """Thirty answers of two texts that all go one way are two observations, not thirty, and never certainty."""
    apart = measured("bias_ambiguous", [unknown(i) for i in range(30)])
    together = measured("bias_ambiguous", [unknown(i, cluster=f"text-{i % 2}") for i in range(30)])
    assert apart.interval == ("-0.0866", "0.0866")
    assert together.interval == ("-1.0000", "1.0000")


def test_tasks_asked_often_differ_no_more_surely() -> None:
    once = [row(i, "correct", arm=arm) for i in range(20) for arm in ARMS]
    often = [row(i, "correct", arm=arm, epoch=epoch) for i in range(20) for arm in ARMS for epoch in range(10)]
    assert measured("difference", once).interval == ("-0.1260", "0.1260")
    assert measured("difference", often).interval == ("-0.1345", "0.1345")  # Student's, over 20 tasks


def test_equal_scores_of_few_units_are_no_certainty() -> None:
    assert measured("brier", [sure(i) for i in range(4)]).interval == ("0.0000", "0.7169")
    assert measured("brier", [sure(0), sure(1)]).interval == ("0.0000", "0.9878")
    assert measured("brier", [sure(0)]).interval is None


def test_a_mean_of_scores_stays_within_them() -> None:
    wide = measured("brier", [sure(0), row(1, "incorrect", confidence="0.900000", brier="0.900000")])
    assert wide.interval == ("0.0000", "1.0000")


def test_answers_a_judge_graded_again_and_again_are_one_observation() -> None:
    often = [row(i, "correct" if i % 2 else "incorrect", judged=True, epoch=e) for i in range(20) for e in range(10)]
    once = [item for item in often if item.epoch == 0]
    low, high = (float(bound) for bound in measured("judge_corrected", often).interval or ())
    narrow = [float(bound) for bound in measured("judge_corrected", once).interval or ()]
    assert low <= narrow[0]
    assert narrow[1] <= high
