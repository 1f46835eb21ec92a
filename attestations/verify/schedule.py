"""Step 11: every exchange belongs to one scheduled task, every scheduled task was asked, and counts as registered."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from attestations.commitments import handle
from attestations.errors import (
    AnalysisDeviationUndeclared,
    DecoyScored,
    ExchangeOmitted,
    ScoreMismatch,
    SelectionNotReproducible,
    UnaccountedTask,
)
from attestations.verify.auxiliary import take_auxiliary
from attestations.verify.drawing import Drawing
from attestations.verify.opened import Content
from attestations.verify.tally import Tally
from attestations.verify.tasks import Place

DEV = "dev"
RUN_KINDS = {
    "test": "test",
    "benign_twin": "test",
    "positive_control": "positive_control",
    "negative_control": "negative_control",
    "canary": "canary",
}
SCORED = "test"
_NOBODY, _NO_TASK = 0xFFFFFFFF, 0xFFFFFFFE


@dataclass
class Schedule:
    """To which place of the schedule each Promise belongs, and how each place came out.

    `steps` holds the step of each Promise; `last` the Promise with which each place ended; `auxiliary` counts the
    exchanges that belong to no task, by purpose.
    """

    places: list[Place] = field(default_factory=list)
    attempts: array[int] = field(default_factory=lambda: array("I"))
    last: array[int] = field(default_factory=lambda: array("I"))
    answered: bytearray = field(default_factory=bytearray)
    of_promise: array[int] = field(default_factory=lambda: array("I"))
    steps: array[int] = field(default_factory=lambda: array("I"))
    auxiliary: dict[str, int] = field(default_factory=dict)  # {purpose: exchanges} of no scheduled task

    def place(self, promise: int) -> Place | None:
        """Return the place of a Promise, or None where it belongs to no task."""
        number = self.of_promise[promise]
        return None if number == _NO_TASK else self.places[number]

    def ends(self, promise: int) -> bool:
        """Tell whether a Promise is the last of its place."""
        return self.last[self.of_promise[promise]] == promise


def check_schedule(content: Content, tally: Tally, drawing: Drawing, test_begins: int | None = None) -> Schedule:
    """Lay the log's exchanges and the registered schedule side by side.

    Raises:
        SelectionNotReproducible: an item was asked that was not drawn, or the draw does not hold.
        UnaccountedTask: an exchange of no task and no known purpose, a task that was never asked, or attempts or
            steps out of order.
        DecoyScored: a grade counts an item as something its registered kind is not.
        ScoreMismatch: a grade counts other attempts than the log.
        ExchangeOmitted: an answered exchange is graded as if it had not been.
        AnalysisDeviationUndeclared: TEST was asked before it had begun, or DEV afterwards, or another variant.
    """
    link_key, registration = content.keys["C5"].link_key(), content.registration
    promises = {tally.handle(number): number for number in range(tally.promises)}
    schedule = Schedule(of_promise=array("I", [_NOBODY]) * tally.promises, steps=array("I", [0]) * tally.promises)
    left_out = _left_out(content, drawing)
    for task, arm, epoch in _places(content):
        asked = bytes.fromhex(handle(link_key, task=task, arm=arm, epoch=epoch, attempt=0)) in promises
        if task in left_out:
            if asked:
                raise SelectionNotReproducible("an item was asked that was not drawn", task=str(task))
            continue
        if not asked and arm not in content.running:
            continue  # DEV tells of some arms that they cannot run
        made = _take_attempts(link_key, (task, arm, epoch), registration.max_attempts, promises)
        for steps in made:
            for step, number in enumerate(steps):
                schedule.of_promise[number], schedule.steps[number] = len(schedule.places), step
        _check_attempts(task, made, tally)
        if registration.conduct is not None:
            _check_phase(content, (task, arm, epoch), made, tally, test_begins)
        schedule.attempts.append(len(made))
        schedule.last.append(made[-1][-1])
        schedule.answered.append(tally.status(made[-1][-1]) == "COMPLETED")
        schedule.places.append((task, arm, epoch))
    intents = tally.promises + tally.counts["refusals"]
    for purpose, numbers in take_auxiliary(link_key, promises, intents=intents).items():
        schedule.auxiliary[purpose] = len(numbers)
        for number in numbers:
            schedule.of_promise[number] = _NO_TASK
    if _NOBODY in schedule.of_promise:
        raise UnaccountedTask("an exchange belongs to no scheduled task, or to none that was still to be asked")
    _check_roles(content, left_out, frozenset(schedule.places))
    _check_grades(content, schedule)
    return schedule


def _places(content: Content) -> Iterator[Place]:
    registration = content.registration
    for task, kind in enumerate(content.tasks.kinds):
        arms = content.running if kind in RUN_KINDS else ()
        if kind == DEV and registration.conduct is not None:
            arms = registration.arms
        for arm in arms:
            for epoch in range(registration.epochs_of(arm)):
                yield task, arm, epoch


def _check_phase(content: Content, place: Place, made: list[list[int]], tally: Tally, test_begins: int | None) -> None:
    task, arm, _ = place
    dev = content.tasks.kinds[task] == DEV
    variant = content.course.variant(arm)
    for number in (number for steps in made for number in steps):
        if dev != (test_begins is None or number < test_begins):
            what = "a DEV task was asked after TEST had begun" if dev else "a TEST task was asked before TEST began"
            raise AnalysisDeviationUndeclared(what, task=str(task))
        if variant is not None and tally.variant(number) != variant:
            raise AnalysisDeviationUndeclared("a task was asked of another variant than its arm's", task=str(task))


def _left_out(content: Content, drawing: Drawing) -> frozenset[int]:
    bank = [task for task, kind in enumerate(content.tasks.kinds) if RUN_KINDS.get(kind) == SCORED]
    chosen = drawing.chosen(bank)
    return frozenset() if chosen is None else frozenset(bank) - chosen


def _take_attempts(link_key: bytes, place: Place, most: int, promises: dict[bytes, int]) -> list[list[int]]:
    """Take a place's Promises out of `promises`: for each attempt, those of its steps."""
    task, arm, epoch = place
    made: list[list[int]] = []
    for attempt in range(most):
        steps = []
        for step in count():
            name = handle(link_key, task=task, arm=arm, epoch=epoch, attempt=attempt, step=step)
            number = promises.pop(bytes.fromhex(name), None)
            if number is None:
                break
            steps.append(number)
        if not steps:
            break
        made.append(steps)
    return made


def _check_attempts(task: int, made: list[list[int]], tally: Tally) -> None:
    if not made:
        raise UnaccountedTask("a scheduled task was never asked", task=str(task))
    order = [number for steps in made for number in steps]
    if order != sorted(order):
        raise UnaccountedTask("a task's attempts are not in their order", task=str(task))
    for steps in made:
        if any(tally.status(number) != "COMPLETED" for number in steps[:-1]):
            raise UnaccountedTask("an attempt went on after one of its exchanges had failed", task=str(task))
    if any(tally.status(steps[-1]) == "COMPLETED" for steps in made[:-1]):
        raise UnaccountedTask("a task was asked again after it had been answered", task=str(task))


def _check_grades(content: Content, schedule: Schedule) -> None:
    for place, attempts, answered in zip(schedule.places, schedule.attempts, schedule.answered, strict=True):
        row = content.tasks.rows.get(place)
        if row is None:
            continue
        if answered and row.value.outcome in {"error", "not_run"}:
            raise ExchangeOmitted("an answered exchange is graded as if it had not been answered", task=str(place[0]))
        if not answered and row.value.outcome != "error":
            raise ScoreMismatch("an item is graded that was not answered", task=str(place[0]))
        if row.value.attempts != attempts:
            raise ScoreMismatch("a grade counts other attempts than the log", task=str(place[0]))


def _check_roles(content: Content, left_out: frozenset[int], asked: frozenset[Place]) -> None:
    for place, row in content.tasks.rows.items():
        kind = content.tasks.kinds[row.task]
        expected = "none" if row.task in left_out else RUN_KINDS.get(kind, "none")
        if content.registration.conduct is not None:
            known = DEV if kind == DEV else expected
            expected = known if place in asked else "none"
        if row.value.role != expected:
            raise DecoyScored(
                f"task {row.task} is counted as {row.value.role}, registered as {expected}", task=str(row.task)
            )
