"""Grades every answer on our own side, and fixes all grades before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attestations import judged
from attestations.commitments import SuiteKey, TaskLeaf, commit_task, suite_root
from attestations.documents.base import format_time
from attestations.documents.dialogue import ChatResult
from attestations.documents.engagement import GradeCommitment, LogReceipt
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import LogEquivocation, PhaseViolation
from attestations.grades import GradeRow, GradeValue, Role, grouping
from attestations.grading import JUDGED, grade, judged_text, needs_judge
from attestations.marks import marks
from attestations.scaffolds.answers import Result
from auditor_client.campaign_state import Exchange
from auditor_client.drawing import left_out_of
from auditor_client.eliciting.arms import DEV, Arms
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import ROLES, FrozenSuite, FrozenTask
from auditor_client.judging import kept_verdict
from auditor_client.leaf_checks import sent_name
from auditor_client.ports import Clock, Journal, Lab

GRADES = "grades"
Place = tuple[int, str, int]
NOT_RUN = GradeValue(outcome="not_run", score="0", role="none", attempts=0)


@dataclass(frozen=True)
class Graded:
    """Every grade, and the committed leaf of every task."""

    rows: list[GradeRow]
    leaves: list[TaskLeaf]


@dataclass
class Asked:
    """What was asked for one item: how many attempts, and how each step of the last one ended."""

    attempts: int = 0
    _steps: dict[int, bytes | None] = field(default_factory=dict)

    def take(self, exchange: Exchange) -> None:
        """Take one finished exchange of the item, in any order."""
        item = exchange.item
        if exchange.promise is None or item.attempt + 1 < self.attempts:
            return  # a refused Intent, which counts for nothing, or an earlier attempt
        if item.attempt + 1 > self.attempts:
            self.attempts = item.attempt + 1
            self._steps.clear()
        self._steps[item.step] = exchange.result

    def answers(self) -> Sequence[bytes]:
        """Return the answers of the last attempt by step; none if it broke."""
        found = [answer for _, answer in sorted(self._steps.items())]
        return [answer for answer in found if answer is not None] if None not in found else []


async def waiting_for_judge(suite: FrozenSuite, *, journal: Journal) -> list[judged.Asked]:
    """Return what a judge still has to be asked, in no order that tells arms apart."""
    asked, left_out, arms = await _answers(journal), left_out_of(suite, journal), Arms(suite, journal)
    found = []
    for (task, arm, _), item in asked.items():
        result = None if task in left_out else arms.submission(task, arm, item.answers())
        if result is not None and (question := _question(suite.tasks[task], result)) is not None:
            found.append(question)
    return [question for question in found if kept_verdict(journal, question) is None]


async def grade_all(suite: FrozenSuite, key: SuiteKey, *, journal: Journal) -> Graded:
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
    asked = await _answers(journal)
    rows: list[GradeRow] = []
    leaves: list[TaskLeaf] = []
    for task in suite.tasks:
        fields: dict[str, tuple[str, Any]] = {}
        for arm in registration.arms:
            for epoch in range(registration.epochs_of(arm)):
                place = (task.i, arm, epoch)
                runs = task.runs and task.i not in left_out if scheduled is None else place in scheduled
                value = _grade(task, arm, asked.get(place) or Asked(), arms, journal) if runs else NOT_RUN
                rows.append(
                    GradeRow(task.i, arm, epoch, str(task.value("category")), value, *grouping(task.value("metadata")))
                )
                fields[grade_path(arm, epoch)] = ("C3", value.json_value())
        leaves.append(commit_task(key, task.i, fields))
    return Graded(rows, leaves)


async def commit_grades(
    graded: Graded, *, engagement: Engagement, lab: Lab, journal: Journal, clock: Clock
) -> Envelope:
    """Put the commitment to all grades into the log (again, after a crash: the same bytes)."""
    root = suite_root(graded.leaves)
    kept = journal.recall(GRADES)
    if kept is None:
        document = GradeCommitment(
            agreement=engagement.digest,
            root=root,
            tasks=len(graded.leaves),
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


async def _answers(journal: Journal) -> dict[Place, Asked]:
    asked: dict[Place, Asked] = {}
    async for exchange in journal.exchanges():
        item = exchange.item
        if not item.auxiliary:
            asked.setdefault((item.task, item.arm, item.epoch), Asked()).take(exchange)
    return asked


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
    result = arms.submission(task.i, arm, asked.answers())
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
        cheating=arms.cheating(task.i, asked.answers()),
        confidence=shown.confidence,
        brier=shown.brier,
        bias=shown.bias,
        judged=None if verdict is None else True,
    )
