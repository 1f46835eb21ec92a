"""Grades every answer on our own side, and fixes all grades before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attestations.commitments import SuiteKey, TaskLeaf, commit_task, suite_root
from attestations.documents.base import format_time
from attestations.documents.engagement import GradeCommitment, LogReceipt
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import LogEquivocation, PhaseViolation
from attestations.grading import grade
from attestations.results import GradeRow, GradeValue, Role
from auditor_client.campaign_state import Exchange
from auditor_client.drawing import left_out_of
from auditor_client.eliciting.arms import DEV, Arms
from auditor_client.engagement import Engagement, signed
from auditor_client.frozen_suite import ROLES, FrozenSuite, FrozenTask
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
    asked: dict[Place, Asked] = {}
    async for exchange in journal.exchanges():
        item = exchange.item
        if not item.auxiliary:
            asked.setdefault((item.task, item.arm, item.epoch), Asked()).take(exchange)
    rows: list[GradeRow] = []
    leaves: list[TaskLeaf] = []
    for task in suite.tasks:
        fields: dict[str, tuple[str, Any]] = {}
        for arm in registration.arms:
            for epoch in range(registration.epochs_of(arm)):
                place = (task.i, arm, epoch)
                runs = task.runs and task.i not in left_out if scheduled is None else place in scheduled
                value = _grade(task, arm, asked.get(place) or Asked(), arms) if runs else NOT_RUN
                rows.append(GradeRow(task.i, arm, epoch, str(task.value("category")), value))
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


def _grade(task: FrozenTask, arm: str, asked: Asked, arms: Arms) -> GradeValue:
    role: Role = "dev" if task.kind == DEV else ROLES[task.kind]
    result = arms.submission(task.i, arm, asked.answers())
    if result is None:
        return GradeValue(outcome="error", score="0", role=role, attempts=asked.attempts)
    graded = grade(task.value("target"), task.value("prompt"), result)
    cheating = arms.cheating(task.i, asked.answers())
    return GradeValue(outcome=graded.outcome, score=graded.score, role=role, attempts=asked.attempts, cheating=cheating)
