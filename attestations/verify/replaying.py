"""Step 12 for transcripts: every request is the one its arm asks next, and what it submits is graded as it must be.

Scaffolds are pure functions (`attestations.scaffolds`), so an item is played again from its own answers. Only the
answers of items that are not finished yet are kept: no more than there were sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from attestations.documents.asking import AnyResult
from attestations.documents.hooks import TIERS
from attestations.documents.sandboxing import Open, Opened, SandboxRequest, SandboxResult
from attestations.errors import (
    ArmNotFollowed,
    EvidenceMissing,
    GraderDigestMismatch,
    ReleasedContentMismatch,
    ScoreMismatch,
    UnaccountedTask,
)
from attestations.formats import Format
from attestations.grading import grade, grader_digest, needs_judge
from attestations.judged import VERDICTS, Verdict
from attestations.marks import Marks, marks
from attestations.sandboxes import SandboxLedger, narrower
from attestations.scaffolds.cheating import signs_of_cheating
from attestations.scaffolds.method import AS_SHIPPED, Arm, Method
from attestations.scaffolds.playing import Ask, Submission, next_step
from attestations.scaffolds.prompting import laid_out
from attestations.scaffolds.task import Demonstration, Task, demonstration, task_of
from attestations.verify.opened import Content
from attestations.verify.schedule import DEV, Schedule
from attestations.verify.tally import Answer
from attestations.verify.tasks import Place


class Answered(NamedTuple):
    """An opened transcript: what was signed about it, and its content."""

    signed: Answer
    request: Any
    result: Any

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Replay:
    """Takes transcripts in the order of the log and plays every item again."""

    def __init__(self, content: Content, schedule: Schedule, sandboxes: SandboxLedger) -> None:
        self._content = content
        self._schedule = schedule
        self._sandboxes = sandboxes
        self.narrowed = 0  # sandboxes that gave a task less than it commits to
        self._playing: dict[Place, list[AnyResult]] = {}
        self._shots: dict[str, list[tuple[int, Demonstration]]] = {}

    def take(self, answered: Answered) -> None:
        """Check one transcript.

        Raises:
            ReleasedContentMismatch: another request was sent than the one committed to.
            ArmNotFollowed: another request was sent than the arm asks next.
            UnaccountedTask: an item is not finished, or was asked more than its arm asks.
            GraderDigestMismatch, ScoreMismatch: its grade does not follow.
            EvidenceMissing: what its arm asks is not open.
        """
        promise = answered.signed.promise
        place = self._schedule.place(promise)
        if place is None:
            return  # what belongs to no task feeds no figure
        if self._schedule.steps[promise] == 0:
            self._playing.pop(place, None)
        answers = self._playing.setdefault(place, [])
        method, task = self._method(place[1]), self._task(place)
        self._check_request(place, answered, next_step(method, task, answers), plain=method.plain)
        answers.append(answered.result)
        self.narrowed += self._is_narrowed(answered)
        if self._schedule.ends(promise):
            step, form = next_step(method, task, answers), laid_out(method, task)
            self._check_grade(place, step, form, _signs(task, answers))
            del self._playing[place]

    def _is_narrowed(self, answered: Answered) -> bool:
        request, result = answered.request, answered.result
        wanted = request.action if isinstance(request, SandboxRequest) else None
        opened = result.result if isinstance(result, SandboxResult) else None
        if not isinstance(wanted, Open) or not isinstance(opened, Opened):
            return False
        stated = self._sandboxes.stated(answered.signed.session, opened.sandbox)
        weaker = stated is None or TIERS.index(stated.tier) < TIERS.index(wanted.tier)
        return weaker or narrower(opened.limits, wanted.limits)

    def _check_request(self, place: Place, answered: Answered, step: Ask | Submission, *, plain: bool) -> None:
        task = str(place[0])
        if isinstance(step, Submission):
            raise UnaccountedTask("more was asked for an item than its arm asks", task=task)
        if step.request != answered.request:
            if plain:
                raise ReleasedContentMismatch("another request was sent than the one committed to", task=task)
            raise ArmNotFollowed("another request was sent than the arm asks next", task=task, arm=place[1])
        if step.sampling != answered.signed.sampling:
            if plain:
                raise ReleasedContentMismatch("an answer was drawn otherwise than committed to", task=task)
            raise ArmNotFollowed("an answer was drawn otherwise than the arm says", task=task, arm=place[1])

    def _check_grade(self, place: Place, step: Ask | Submission, form: Format | None, cheating: int | None) -> None:
        content, task = self._content, str(place[0])
        if isinstance(step, Ask):
            raise UnaccountedTask("an item was not carried to its end", task=task, arm=place[1])
        judged = content.tasks.fields("C6", place[0])
        target = judged.get("target")
        target = target if isinstance(target, dict) else {}
        name = target.get("grader")
        registered = {item.name: item.digest for item in content.registration.graders}
        if not isinstance(name, str) or name != judged.get("graderRef") or registered.get(name) != _digest(name):
            raise GraderDigestMismatch("a task's grader is not the registered one", task=task)
        row = content.tasks.rows.get(place)
        if row is None:
            raise EvidenceMissing("a grade is not open", task=task)
        said: tuple[Verdict | None, ...] = VERDICTS if needs_judge(target, step.result) else (None,)
        if (said != (None,)) != (row.value.judged is True):
            raise ScoreMismatch("a grade is a judge's where it follows, or the other way round", task=task)
        self._check_judge(target.get("judge"), task)
        # A judge's word cannot be repeated; that the grade is one of those its word could give can be checked.
        prompt = content.tasks.fields("C5", place[0]).get("prompt")
        regraded = {grade(target, prompt, step.result, verdict=verdict, form=form) for verdict in said}
        if (row.value.outcome, row.value.score) not in regraded or row.value.cheating != cheating:
            raise ScoreMismatch("a grade does not follow from its transcript", task=task)
        metadata = (content.tasks.fields("C3", place[0]).get("metadata"), judged.get("answerMetadata"))
        shown = Marks(row.value.confidence, row.value.brier, row.value.bias)
        if marks(target, prompt, metadata, step.result, form) != shown:
            raise ScoreMismatch("what a grade says of an answer does not follow from its transcript", task=task)

    def _check_judge(self, name: Any, task: str) -> None:
        plan = None if self._content.aggregate is None else self._content.aggregate.plan
        if name is not None and plan is not None and name not in {judge.name for judge in plan.judges}:
            raise GraderDigestMismatch("a task is graded by a model that the plan does not name", task=task)

    def _method(self, arm: str) -> Method:
        if self._content.registration.conduct is None:
            return Method()
        found = self._arm(arm)
        if found.source != "lab_pack":
            return found.method
        if self._content.pack is None:
            raise EvidenceMissing("the lab's elicitation pack is not in the file", arm=arm)
        return self._content.pack.method

    def _arm(self, name: str) -> Arm:
        aggregate = self._content.aggregate
        if aggregate is None:
            raise EvidenceMissing("the plan with its arms is not open", arm=name)
        return next((arm for arm in aggregate.plan.arms or () if arm.id == name), Arm(id=AS_SHIPPED))

    def _task(self, place: Place) -> Task:
        number, arm, _ = place
        if arm not in self._shots:
            self._shots[arm] = self._shown(self._method(arm).shots)
        # A task is never shown its own answer.
        shots = [shown for shot, shown in self._shots[arm] if shot != number]
        return task_of(self._content.tasks.fields("C5", number).get("prompt"), shots)

    def _shown(self, shots: Sequence[int]) -> list[tuple[int, Demonstration]]:
        tasks, found = self._content.tasks, []
        for shot in shots:
            if shot < len(tasks.kinds) and tasks.kinds[shot] == DEV:
                shown = demonstration(tasks.fields("C5", shot).get("prompt"), tasks.fields("C6", shot).get("target"))
                if shown is not None:
                    found.append((shot, shown))
        return found


def _signs(task: Task, answers: Sequence[AnyResult]) -> int | None:
    return None if task.workspace is None else signs_of_cheating(task.workspace, answers)


@lru_cache
def _digest(name: str) -> str | None:
    try:
        return grader_digest(name)
    except GraderDigestMismatch:
        return None
