"""Audits in formats: the same tasks laid out in other ways, replayed by a stranger, and what a cheat runs into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.engagement import Stage
from attestations.errors import (
    ArmNotFollowed,
    ExitCode,
    PreRegistrationAltered,
    SafeconductError,
    ScoreMismatch,
    UnaccountedTask,
)
from attestations.grades import GradeRow, GradeValue
from attestations.measures import compute_measures
from attestations.results import compute_results
from attestations.scaffolds.method import Arm, Method
from attestations.scaffolds.playing import Ask, next_step
from attestations.scaffolds.task import task_of
from attestations.verify.report import Report
from auditor_client.campaign_state import Item
from auditor_client.eliciting.arms import Arms
from auditor_client.eliciting.starting import scheduled_items
from auditor_client.grading_run import Graded
from auditor_client.intending import Question
from tests.support.arms_audit import ArmsAudit
from tests.support.formats_audit import KINDS, formats_audit, in_format, plan, suite
from tests.support.reports import assert_holds, assert_refused

BOTH = (Arm(id="as_shipped"), in_format("plain"), in_format("digit-reversed"))


async def carried_out(audit: ArmsAudit, stage: Stage) -> Report:
    """Carry an audit to its end and verify the file of a stage."""
    try:
        await audit.run()
        await audit.finish()
        return await audit.verify(stage)
    finally:
        await audit.close()


async def test_a_model_that_depends_on_the_format_swings_and_a_stranger_finds_it_so(tmp_path: Path) -> None:
    report = await carried_out(await formats_audit(tmp_path), "S5")
    assert_holds(report)
    assert report.predicate is not None
    (swing,) = report.predicate.measures
    shares = {name: part for name, part in swing.parts.items() if name.startswith("format/")}
    assert shares == {
        "format/format-plain": "1.0000",
        "format/format-digit-bracket": "0.5000",  # among numbers the model loses every other task
        "format/format-reversed": "1.0000",  # a letter names another option than it did, and is graded so
        "format/format-digit-reversed": "0.5000",  # with a demonstration and a chain of thought besides
        "format/format-roman-dot": "0.5000",  # a letter is no numeral; the words of an option need none
    }
    assert (swing.value, swing.n, swing.arm, swing.interpretable) == ("0.5000", "5", "formats", True)
    figures = {result.id: result for result in report.predicate.results}
    assert (figures["overall"].value, figures["mean"].value, figures["most"].value) == ("1.0000", "0.7000", "1.0000")
    assert figures["mean"].outcomes.invalid == "3"
    assert figures["most"].by_format == ("6", "3", "6", "3", "3")
    assert {result.arm for result in report.predicate.results} == {"as_shipped", "formats"}


@pytest.mark.parametrize(
    ("arms", "formats"),
    [
        pytest.param(BOTH, ("format-plain", "format-airy"), id="a format nobody registered"),
        pytest.param(BOTH, ("format-plain", "format-plain"), id="one format twice"),
        pytest.param(
            (*BOTH[:2], Arm(id="twin", method=Method(format="plain"))), ("format-plain", "twin"), id="two of one method"
        ),
        pytest.param(
            (*BOTH[:2], Arm(id="format-airy", method=Method(format="tight"))), None, id="another format than it says"
        ),
        pytest.param((*BOTH[:2], Arm(id="format-airy")), (), id="no format though it says one"),
        pytest.param(
            (*BOTH[:2], Arm(id="format-best", method=Method(format="tight"))), (), id="a format its name does not say"
        ),
        pytest.param((*BOTH[:2], Arm(id="lab_pack", source="lab_pack")), None, id="an arm that need not run"),
        pytest.param((*BOTH[:2], in_format("airy").model_copy(update={"epochs": 2})), None, id="one asked more often"),
    ],
)
async def test_formats_that_are_not_what_they_say_are_found_with_the_plan(
    tmp_path: Path, arms: Sequence[Arm], formats: Sequence[str] | None
) -> None:
    report = await carried_out(await formats_audit(tmp_path, arms, formats=formats, most=False), "S2")
    assert_refused(report, PreRegistrationAltered, 40)


async def test_a_scored_task_that_no_format_lays_out_is_found_once_tasks_are_open(tmp_path: Path) -> None:
    report = await carried_out(await formats_audit(tmp_path, BOTH, tasks=suite(numeric=(3,))), "S4")
    assert_refused(report, ArmNotFollowed, 40)


async def test_a_control_that_is_no_choice_is_asked_as_committed_in_every_format(tmp_path: Path) -> None:
    controls = suite(numeric=(KINDS.index("positive_control"),))
    assert_holds(await carried_out(await formats_audit(tmp_path, BOTH, tasks=controls), "S5"))


async def test_another_format_than_the_registered_one_is_found_in_the_transcripts(tmp_path: Path) -> None:
    audit = await formats_audit(tmp_path, BOTH)

    def asking(arms: Arms) -> Any:
        def question(item: Item, answers: Sequence[bytes]) -> Question | None:
            asked = arms.question(item, answers)
            if asked is None or item.arm != "format-digit-reversed":
                return asked
            task = task_of(audit.audit.suite.tasks[item.task].value("prompt"))
            step = next_step(Method(format="digit-dot"), task, ())
            return replace(asked, request=step.request) if isinstance(step, Ask) else None

        return question

    audit.asks = asking
    assert_refused(await carried_out(audit, "S5"), ArmNotFollowed, 40)


async def claiming(audit: ArmsAudit, patched: pytest.MonkeyPatch, change: Any) -> None:
    """Have the auditor grade otherwise than its answers say."""

    async def as_claimed(*_args: object, **_kwargs: object) -> Graded:
        return await audit.graded()

    audit.regrade = lambda rows: [change(row) for row in rows]
    patched.setattr("auditor_client.staging.grade_all", as_claimed)


def outcome(row: GradeRow, **values: Any) -> GradeRow:
    return row._replace(value=row.value.model_copy(update=values))


async def test_a_label_of_another_format_graded_as_right_does_not_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = await formats_audit(tmp_path, (*BOTH[:2], in_format("roman-dot")))

    def kinder(row: GradeRow) -> GradeRow:
        named = row.arm == "format-roman-dot" and row.value.outcome == "invalid"
        return outcome(row, outcome="correct", score="1") if named and row.task == 1 else row  # B, as committed

    await claiming(audit, monkeypatch, kinder)
    assert_refused(await carried_out(audit, "S5"), ScoreMismatch, 41)


@pytest.mark.parametrize(
    ("pretends", "stage", "error", "code"),
    [(False, "S2", ScoreMismatch, 41), (True, "S4", UnaccountedTask, None)],
)
async def test_a_format_that_was_not_asked_has_no_share_of_a_figure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    pretends: bool,
    stage: Stage,
    error: type[SafeconductError],
    code: ExitCode | None,
) -> None:
    audit, skipped = await formats_audit(tmp_path, BOTH, most=pretends), BOTH[2].id
    monkeypatch.setattr(
        "auditor_client.eliciting.running.scheduled_items",
        lambda *given: [item for item in scheduled_items(*given) if item.arm != skipped],
    )
    if pretends:
        plain: dict[int, GradeRow] = {}

        def made_up(row: GradeRow) -> GradeRow:
            if row.arm == BOTH[1].id:
                plain[row.task] = row
            return row._replace(value=plain[row.task].value) if row.arm == skipped else row

        await claiming(audit, monkeypatch, made_up)
    assert_refused(await carried_out(audit, stage), error, code)


def right(arm: str, count: int) -> list[GradeRow]:
    """Return so many right answers of an arm."""
    value = GradeValue(outcome="correct", score="1", role="test", attempts=1)
    return [GradeRow(task, arm, 0, "all", value) for task in range(count)]


def test_the_largest_of_formats_is_none_where_one_was_asked_less() -> None:
    with pytest.raises(ScoreMismatch, match="different numbers of items"):
        compute_results(plan(BOTH, ("a", "b")), [*right("a", 2), *right("b", 1)], ("as_shipped", "a", "b"))


@pytest.mark.parametrize(("asked", "usable"), [(("a", "b"), True), (("a",), False), ((), False)])
def test_a_format_that_was_not_asked_is_no_share_of_zero(asked: tuple[str, ...], *, usable: bool) -> None:
    control = GradeValue(outcome="correct", score="1", role="positive_control", attempts=1)
    rows = [*(row for arm in asked for row in right(arm, 2)), GradeRow(2, "as_shipped", 0, "all", control)]
    (swing,) = compute_measures(plan(BOTH, ("a", "b")), rows, ("as_shipped", "a", "b"))
    assert swing.interpretable is usable


async def test_a_lab_whose_pack_names_a_format_has_its_choices_laid_out_so(tmp_path: Path) -> None:
    arms = (Arm(id="as_shipped"), Arm(id="lab_pack", source="lab_pack"))
    audit = await formats_audit(tmp_path, arms, formats=("as_shipped",), tasks=suite(numeric=(3,)))
    await audit.with_pack(Method(format="digit-bracket"))
    report = await carried_out(audit, "S5")
    assert_holds(report)
    assert report.predicate is not None
    assert {item.arm: item.value for item in report.predicate.results if item.id == "overall"} == {
        "as_shipped": "0.8333",
        "lab_pack": "0.5000",
    }
    assert report.predicate.measures[0].interpretable is False  # one format has no swing
