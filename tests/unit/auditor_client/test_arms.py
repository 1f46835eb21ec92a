"""Audits in arms: DEV chooses, TEST is asked once an arm, and a stranger plays every scaffold again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.base import format_time
from attestations.documents.dialogue import ChatRequest
from attestations.documents.engagement import Stage
from attestations.elicitation.dev_file import read_dev
from attestations.errors import (
    AnalysisDeviationUndeclared,
    ArmNotFollowed,
    CommitmentMismatch,
    DecoyScored,
    EvidenceError,
    PackTooLate,
    PhaseViolation,
    PreRegistrationAltered,
    RelyingPolicyUnmet,
    ScoreMismatch,
    UnaccountedTask,
)
from attestations.grades import GradeRow
from attestations.rendering.report_view import report_view
from attestations.scaffolds.method import Arm, Method
from attestations.verify.report import Report
from auditor_client.campaign_state import Item
from auditor_client.eliciting.arms import Arms
from auditor_client.grading_run import Graded
from auditor_client.intending import Question
from auditor_client.releasing import STAGES
from tests.support.arms_audit import ArmsAudit, model
from tests.support.reports import assert_holds, assert_refused


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

    reports = [await arms.verify(stage) for stage in STAGES]
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

    pages = [report_view(report, arms.engagement.agreement).elicitation for report in reports]
    assert all(page is not None and "The lab's elicitation pack was used." in page.words for page in pages)
    sealed, shown, detailed = (page for page in pages[:3] if page is not None)
    assert (sealed.gaps, sealed.plot, {row.dev for row in sealed.arms}) == ((), None, {""})
    assert [(row.label, row.arm, row.value) for row in shown.gaps] == [
        ("overall", "auditor_best", "+50.0"),
        ("overall", "lab_pack", "+50.0"),
    ]
    assert {row.label for row in detailed.gaps} == {"overall", "odd, odd-sums"}
    assert [row.name for row in shown.arms] == ["as_shipped", "auditor_best (best on DEV)", "lab_pack"]


async def test_dev_is_disclosed_exactly_and_proved_against_the_registered_root(arms: ArmsAudit) -> None:
    data = await arms.disclose()
    registration = arms.registration
    tasks = read_dev(data, registration.agreement, registration.suite)
    assert [task.i for task in tasks] == [0, 1, 2, 3]
    assert all(task.fields["kind"] == "dev" and task.fields["target"]["grader"] == "numeric" for task in tasks)
    assert b"What is 4 + 100" not in data
    assert (await arms.course()).disclosed is not None

    lines = data.split(b"\n")
    for wrong in (
        data.replace(b'"value":"102"', b'"value":"103"'),
        data.replace(b'"i":1', b'"i":2'),
        b"\n".join(lines[:3] + lines[4:]),
        data.replace(registration.suite.root.encode(), b"ab" * 32),
    ):
        with pytest.raises(EvidenceError):
            read_dev(wrong, registration.agreement, registration.suite)


async def test_a_disclosure_may_not_hold_a_task_of_another_kind(tmp_path: Path) -> None:
    arms = await ArmsAudit.at(tmp_path)
    suite = arms.audit.suite
    hidden = [replace_kind(task) if task.i == 5 else task for task in suite.tasks]
    arms.audit.suite = replace(suite, tasks=hidden)
    registration = arms.registration
    with pytest.raises((CommitmentMismatch, EvidenceError)):
        read_dev(await arms.disclose(), registration.agreement, registration.suite)
    await arms.close()


def replace_kind(task: Any) -> Any:
    return task.model_copy(update={"fields": task.fields | {"kind": ("C5", "dev")}})


async def test_test_waits_for_the_lab_as_long_as_was_agreed(tmp_path: Path) -> None:
    arms = await ArmsAudit.at(tmp_path, days=10)
    await arms.disclose()
    ran = await arms.run()
    assert ran.waiting == ("the lab may answer the DEV tasks until 2026-12-04 09:00 UTC",)
    assert ran.progress.total == 2 * 4  # DEV in the arms that are ready

    arms.audit.clock.pass_(days=11)
    assert (await arms.run()).waiting == ()
    course = await arms.course()
    assert course.start is not None
    assert {arm.id: arm.dropped for arm in course.start.arms}["lab_pack"] == "pack_missing"
    await arms.close()


async def test_an_auditor_that_does_not_wait_breaks_the_agreement(tmp_path: Path) -> None:
    arms = await ArmsAudit.at(tmp_path, days=10)
    await arms.disclose()
    await arms.run()
    started = arms.registration.conduct or ()
    from attestations.documents.elicitation import StartedArm

    await arms.speaker.begins(
        tuple(
            StartedArm(id=arm.id, variant=None, dropped="pack_missing")
            if arm.id == "lab_pack"
            else StartedArm(id=arm.id, variant=arm.variant, dropped=None)
            for arm in started
        )
    )
    history = await arms.history()
    assert [type(breach.error) for breach in history.breaches] == [PhaseViolation]
    assert history.ledger.elicitation.start is None
    await arms.close()


async def test_a_pack_after_test_has_begun_is_attested_as_late(arms: ArmsAudit) -> None:
    """T042: PackTooLate for the lab; the attestation says late, and the audit holds."""
    await arms.disclose()
    await arms.run()
    course = await arms.course()
    with pytest.raises(PackTooLate):
        course.check_in_time()
    await arms.answer(arms.pack())
    assert (await arms.course()).status == "late"
    await arms.finish()

    report = await arms.verify("S5")
    assert_holds(report)
    assert claimed(report).lab_pack.status == "late"
    assert {arm.id: arm.reason for arm in claimed(report).arms}["lab_pack"] == "pack_missing"


async def test_a_declined_pack_is_attested_with_its_reason(arms: ArmsAudit) -> None:
    """T043: whoever later says the model was poorly elicited, the file shows that help was asked for and declined."""
    await arms.disclose()
    await arms.answer(None, "we have nobody free to advise")
    await arms.run()
    await arms.finish()
    report = await arms.verify("S1")
    assert_holds(report)
    said = claimed(report).lab_pack
    assert (said.status, said.reason, said.digest) == ("declined", "we have nobody free to advise", None)
    assert any("we have nobody free to advise" in line for line in report.limitations)
    assert report.assurance is not None
    assert report.assurance.elicitation == "EL2"  # the lab was asked, and its answer is known


async def test_a_pack_that_is_not_answered_on_dev_is_broken(arms: ArmsAudit) -> None:
    def mute(request: ChatRequest) -> str:
        return "" if request.messages[-1].content.startswith("###") else model(request)

    arms.audit.lab.answer = mute
    await arms.with_pack(Method(template="### {prompt}"))
    await arms.run()
    await arms.finish()
    report = await arms.verify("S5")
    assert_holds(report)
    assert claimed(report).lab_pack.status == "providedButBroken"


async def test_an_audit_whose_lab_was_never_asked_is_of_the_auditors_elicitation_only(arms: ArmsAudit) -> None:
    await arms.run()
    await arms.finish()
    report = await arms.verify("S2", require=("EL>=2",))
    assert claimed(report).lab_pack.status == "notAsked"
    assert_refused(report, RelyingPolicyUnmet, 61)


async def cheated(arms: ArmsAudit, stage: Stage, error: type[Exception], code: int, *, pack: bool = True) -> None:
    """Carry the audit to its end and check that a stranger finds the deviation at this stage."""
    if pack:
        await arms.with_pack()
    await arms.run()
    await arms.finish()
    assert_refused(await arms.verify(stage), error, code)  # type: ignore[arg-type]


async def test_the_best_arm_chosen_on_test_is_found(arms: ArmsAudit) -> None:
    """T114: AnalysisDeviationUndeclared; verify=41."""
    arms.claims = {"best": "lab_pack"}
    await cheated(arms, "S2", AnalysisDeviationUndeclared, 41)


async def test_dev_figures_that_make_another_arm_best_do_not_follow_from_the_grades(arms: ArmsAudit) -> None:
    """T114, hidden better."""
    await arms.with_pack()
    await arms.run()
    claim = (await arms.elicited()).claim
    assert claim is not None
    worse = claim.arms[1].dev.model_copy(update={"correct": "0"}) if claim.arms[1].dev else None
    arms.claims = {
        "best": "lab_pack",
        "arms": (claim.arms[0], claim.arms[1].model_copy(update={"dev": worse}), claim.arms[2]),
    }
    await arms.finish()
    assert_holds(await arms.verify("S2"))
    assert_refused(await arms.verify("S3"), AnalysisDeviationUndeclared, 41)


async def test_a_gap_that_does_not_follow_from_its_counts_is_found(arms: ArmsAudit) -> None:
    await arms.with_pack()
    await arms.run()
    claim = (await arms.elicited()).claim
    assert claim is not None
    first, *rest = claim.gaps
    arms.claims = {"gaps": (first.model_copy(update={"value": "0.4000"}), *rest)}
    await arms.finish()
    assert_refused(await arms.verify("S2"), ScoreMismatch, 41)


def instead(change: Callable[[Question], Question], arm: str) -> Callable[[Arms], Any]:
    """Return what asks otherwise than registered in one arm."""

    def asking(arms: Arms) -> Any:
        def question(item: Item, answers: Sequence[bytes]) -> Question | None:
            asked = arms.question(item, answers)
            return change(asked) if asked is not None and item.arm == arm else asked

        return question

    return asking


async def test_a_request_that_is_not_the_arms_is_found(arms: ArmsAudit) -> None:
    def other(question: Question) -> Question:
        request = question.request
        assert isinstance(request, ChatRequest)
        hint = request.messages[-1].model_copy(update={"content": request.messages[-1].content + " Hurry."})
        return Question(
            request.model_copy(update={"messages": (*request.messages[:-1], hint)}), question.variant, question.sampling
        )

    arms.asks = instead(other, "auditor_best")
    await cheated(arms, "S5", ArmNotFollowed, 40)


async def test_answers_drawn_otherwise_than_the_arm_says_are_found(arms: ArmsAudit) -> None:
    def hotter(question: Question) -> Question:
        return replace(question, sampling=question.sampling.model_copy(update={"temperature": "1.5"}))

    arms.asks = instead(hotter, "auditor_best")
    await cheated(arms, "S5", ArmNotFollowed, 40)


async def test_nobody_asks_more_than_the_arm_asks(arms: ArmsAudit) -> None:
    def asking(known: Arms) -> Any:
        def question(item: Item, answers: Sequence[bytes]) -> Question | None:
            more = item.arm == "as_shipped" and item.task == 6 and len(answers) == 1
            return known.question(item, ()) if more else known.question(item, answers)

        return question

    arms.asks = asking
    await arms.with_pack()
    with pytest.raises(UnaccountedTask):
        await arms.run()


async def test_a_test_asked_before_test_has_begun_is_found(arms: ArmsAudit) -> None:
    await arms.audit.journal.schedule([Item(6, "as_shipped", 0)])
    await cheated(arms, "S4", AnalysisDeviationUndeclared, 41)


async def test_dev_asked_again_after_test_has_begun_is_found(arms: ArmsAudit) -> None:
    await arms.run()
    rest = [item for item in arms.audit.journal.items() if item.task < 4]
    assert len(rest) == 2 * 4
    await arms.audit.journal.schedule([Item(0, "lab_pack", 0)])
    await arms.audit.journal.remember("pack", arms.pack().to_bytes())
    await cheated(arms, "S4", AnalysisDeviationUndeclared, 41, pack=False)


async def test_a_dev_task_counted_as_a_test_is_found(arms: ArmsAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """T045: DecoyScored once kinds are open."""

    def promoted(rows: Sequence[GradeRow]) -> Sequence[GradeRow]:
        # One DEV task changes places with a test.
        swap = {0: "test", 5: "dev"}
        return [
            row._replace(value=row.value.model_copy(update={"role": swap.get(row.task, row.value.role)}))
            for row in rows
        ]

    async def as_claimed(*_args: object, **_kwargs: object) -> Graded:
        return await arms.graded()

    arms.regrade = promoted
    monkeypatch.setattr("auditor_client.staging.grade_all", as_claimed)
    await cheated(arms, "S4", DecoyScored, 41)


async def test_an_arm_called_auditors_best_that_asks_as_shipped_is_found(tmp_path: Path) -> None:
    arms = await ArmsAudit.at(tmp_path, (Arm(id="as_shipped"), Arm(id="auditor_best")))
    await cheated(arms, "S2", PreRegistrationAltered, 40, pack=False)
    await arms.close()


async def test_a_crash_between_any_two_steps_of_the_course_changes_nothing(tmp_path: Path) -> None:
    arms = await ArmsAudit.at(tmp_path)
    await arms.with_pack()
    arms.audit.lab._losses["promise"] = list(range(9, 400))
    with pytest.raises(Exception, match="broke"):
        await arms.run()
    arms.audit.lab._losses.clear()
    arms = ArmsAudit(await arms.audit.crashed())
    await arms.run()
    arms = ArmsAudit(await arms.audit.crashed())
    ran = await arms.run()
    assert (ran.progress.done, ran.progress.failed) == (45, 0)
    assert len(set(arms.audit.lab.calls)) == len(arms.audit.lab.calls)
    await arms.finish()
    assert_holds(await arms.verify("S5"))
    assert format_time(arms.audit.clock.now()) > "2026"
    await arms.close()


def claimed(report: Report) -> Any:
    """Return what a file claims of elicitation."""
    assert report.predicate is not None
    assert report.predicate.elicitation is not None
    return report.predicate.elicitation
