"""Grades every answer on our own side, and fixes all grades before anything is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

from attestations import judged
from attestations.commitments import SuiteKey, TaskLeaf, commit_task, suite_root
from attestations.container import Watch
from attestations.documents.base import format_time
from attestations.documents.dialogue import ChatResult
from attestations.documents.engagement import GradeCommitment, LogReceipt
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import LogEquivocation, PhaseViolation
from attestations.grades import GradeRow, GradeValue, Role, grouping
from attestations.grading import JUDGED, grade, judged_text, needs_judge
from attestations.marks import marks
from attestations.scaffolds.answers import Result
from auditor_client.drawing import left_out_of
from auditor_client.eliciting.arms import DEV, Arms
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import ROLES, FrozenSuite, FrozenTask
from auditor_client.judging import kept_verdict
from auditor_client.leaf_checks import sent_name
from auditor_client.ports import Clock, Journal, Lab

GRADES = "grades"
_TURN = 100  # items
NOT_RUN = GradeValue(outcome="not_run", score="0", role="none", attempts=0)


@dataclass(frozen=True)
class Graded:
    """Every grade, in the order of the tasks, and how many tasks there are."""

    rows: Sequence[GradeRow]
    tasks: int

    def by_task(self) -> Iterator[Sequence[GradeRow]]:
        """Give the grades of one task after another."""
        rows = iter(self.rows)
        row = next(rows, None)
        for number in range(self.tasks):
            found: list[GradeRow] = []
            while row is not None and row.task == number:
                found.append(row)
                row = next(rows, None)
            yield found

    def leaves(self, key: SuiteKey) -> Iterator[TaskLeaf]:
        """Give the committed leaf of every task's grades."""
        for number, rows in enumerate(self.by_task()):
            yield commit_task(key, number, {path: ("C3", value) for path, value in grade_fields(rows).items()})


def grade_fields(rows: Iterable[GradeRow]) -> dict[str, Any]:
    """Return the grades of one task as its leaf and its package name them."""
    return {grade_path(row.arm, row.epoch): row.value.json_value() for row in rows}


class Asked(NamedTuple):
    """What was asked for one item: how many attempts, and the answers of the last one by step; none if it broke."""

    attempts: int
    answers: Sequence[bytes]


def _asked(journal: Journal, task: int, arm: str, epoch: int) -> Asked:
    steps = journal.steps(task, arm, epoch)
    if not steps:
        return Asked(0, ())
    last = steps[-1].attempt
    found = [step.result for step in steps if step.attempt == last]
    return Asked(last + 1, [answer for answer in found if answer is not None] if None not in found else ())


async def waiting_for_judge(suite: FrozenSuite, *, journal: Journal) -> list[judged.Asked]:
    """Return what a judge still has to be asked."""
    left_out, arms = left_out_of(suite, journal), Arms(suite, journal)
    found = []
    for number, item in enumerate(journal.items()):
        await _let_others_run(number)
        if item.task in left_out:
            continue
        answers = _asked(journal, item.task, item.arm, item.epoch).answers
        result = arms.submission(item.task, item.arm, answers)
        if result is not None and (question := _question(suite.tasks[item.task], result)) is not None:
            found.append(question)
    return [question for question in found if kept_verdict(journal, question) is None]


async def grade_all(suite: FrozenSuite, *, journal: Journal, watch: Watch | None = None) -> Graded:
    """Return the grade of every task in every arm and epoch; tasks never sent, or not drawn, are `not_run`.

    Raises:
        PhaseViolation: the suite is not registered yet.
    """
    if journal.recall("registration") is None:
        raise PhaseViolation("there is nothing to grade before the suite is registered")
    arms = Arms(suite, journal)
    registration = arms.registration
    left_out = left_out_of(suite, journal)
    scheduled = {(item.task, item.arm, item.epoch) for item in journal.items()} if arms.conduct else None
    rows: list[GradeRow] = []
    same: dict[GradeValue, GradeValue] = {}  # most grades of a large suite are equal: each is kept once
    for task in suite.tasks:
        await _let_others_run(task.i)
        if watch is not None:
            watch("grading", task.i, len(suite.tasks))
        category, grouped = intern(str(task.value("category"))), grouping(task.value("metadata"))
        for arm in registration.arms:
            for epoch in range(registration.epochs_of(arm)):
                place = (task.i, arm, epoch)
                runs = task.runs and task.i not in left_out if scheduled is None else place in scheduled
                value = _grade(task, arm, _asked(journal, *place), arms, journal) if runs else NOT_RUN
                rows.append(GradeRow(task.i, arm, epoch, category, same.setdefault(value, value), *grouped))
    return Graded(rows, len(suite.tasks))


async def commit_grades(
    graded: Graded, key: SuiteKey, *, engagement: Engagement, lab: Lab, journal: Journal, clock: Clock
) -> Envelope:
    """Put the commitment to all grades into the log (again, after a crash: the same bytes)."""
    root = suite_root(graded.leaves(key))
    kept = journal.recall(GRADES)
    if kept is None:
        document = GradeCommitment(
            agreement=engagement.digest,
            root=root,
            tasks=graded.tasks,
            committed_at=format_time(clock.now()),
        )
        envelope = signed(document, engagement.keys.publication)
        await journal.remember(sent_name(envelope), envelope.to_bytes())
        await journal.remember(GRADES, envelope.to_bytes())
    else:
        envelope = parse_envelope(kept)
        if GradeCommitment.parse(envelope.payload).root != root:
            raise PhaseViolation("the grades differ from those already committed: a grader or the suite has changed")
    receipt = engagement.opened(await lab.commit_grades(envelope), LogReceipt)
    if (receipt.kind, receipt.document) != ("grades", envelope.digest):
        raise LogEquivocation("the lab's receipt is for another document", kind=receipt.kind)
    return envelope


def grade_path(arm: str, epoch: int) -> str:
    """Return the field path of a grade."""
    return f"grade/{arm}/{epoch}"


async def _let_others_run(number: int) -> None:
    """Give the loop a turn now and then: a connection that answers nothing for long is taken for dead."""
    if number % _TURN == 0:
        await asyncio.sleep(0)


def _question(task: FrozenTask, result: Result) -> judged.Asked | None:
    """Return what a judge is asked about an answer, or None where the grade follows without one."""
    target = task.value("target")
    if not isinstance(target, Mapping) or target.get("grader") != JUDGED:
        return None
    if not isinstance(result, ChatResult) or not needs_judge(target, result):
        return None
    return judged.asked(target, task.value("prompt"), task.value("rubric"), judged_text(result) or "")


def _verdict(task: FrozenTask, result: Result, journal: Journal) -> judged.Verdict | None:
    question = _question(task, result)
    if question is None:
        return None
    verdict = kept_verdict(journal, question)
    if verdict is None:
        raise PhaseViolation("answers wait for their judge: run `safeconduct auditor judge run`")
    return verdict


def _grade(task: FrozenTask, arm: str, asked: Asked, arms: Arms, journal: Journal) -> GradeValue:
    role: Role = "dev" if task.kind == DEV else ROLES[task.kind]
    result = arms.submission(task.i, arm, asked.answers)
    if result is None:
        return GradeValue(outcome="error", score="0", role=role, attempts=asked.attempts)
    target, prompt = task.value("target"), task.value("prompt")
    metadata = (task.value("metadata"), task.value("answerMetadata"))
    verdict, form = _verdict(task, result, journal), arms.form(task.i, arm)
    graded = grade(target, prompt, result, verdict=verdict, form=form)
    shown = marks(target, prompt, metadata, result, form)
    return GradeValue(
        outcome=graded.outcome,
        score=graded.score,
        role=role,
        attempts=asked.attempts,
        cheating=arms.cheating(task.i, asked.answers),
        confidence=shown.confidence,
        brier=shown.brier,
        bias=shown.bias,
        judged=None if verdict is None else True,
    )
