"""From DEV to TEST: which arms run, what keeps the others from running, and the leaf after which TEST is asked."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from attestations.commitments import SuiteKey
from attestations.digests import sha256
from attestations.documents.elicitation import Dropped, StartedArm
from attestations.elicitation.course import Course
from attestations.elicitation.hooks import HooksSoFar
from attestations.grades import ANSWERED, GradeRow
from auditor_client.campaign_state import Item
from auditor_client.eliciting.arms import DEV, Arms
from auditor_client.frozen_suite import FrozenSuite


def waits_for(
    arms: Arms, course: Course, *, days: int | None, refused: Container[str], without: Container[str], now: datetime
) -> tuple[str, ...]:
    """Return what keeps TEST from beginning, in plain words; nothing once it may begin.

    Args:
        arms: the registered arms.
        course: what the log says of elicitation.
        days: how many days the lab was given to answer the DEV tasks; None where nothing was agreed.
        refused: the hooks that the lab refused.
        without: the arms that are to be given up although nothing was refused.
        now: the present instant.
    """
    reasons = []
    until = course.waits_until(days, now)
    if until is not None:
        reasons.append(f"the lab may answer the DEV tasks until {until}")
    if course.status == "provided" and arms.pack is None and "lab_pack" in _sources(arms).values():
        reasons.append("the lab has provided a pack: read it with `safeconduct auditor pack accept FILE`")
    for known in arms.conduct:
        unbound = known.variant is None and arms.variant(known.id) is None
        if unbound and "fine_tune" not in refused and known.id not in without:
            reasons.append(f"{known.id} has no variant: bind it with --bind {known.id}=NAME, or give it up")
    return tuple(reasons)


def started_arms(arms: Arms, course: Course, rows: Sequence[GradeRow], *, hooks: HooksSoFar) -> tuple[StartedArm, ...]:
    """Return every registered arm: the variant it asks on TEST, or why it is not run.

    Args:
        arms: the registered arms.
        course: what the log says of elicitation.
        rows: the grades, of which those on DEV tell whether the lab's pack works.
        hooks: what the lab has signed of its hooks.
    """
    return tuple(_started(arms, known.id, course, rows, hooks) for known in arms.conduct)


def _started(arms: Arms, name: str, course: Course, rows: Sequence[GradeRow], hooks: HooksSoFar) -> StartedArm:
    source, variant = _sources(arms)[name], arms.variant(name)
    dropped: Dropped | None = None
    if source == "lab_pack":
        if course.status == "declined":
            dropped = "pack_declined"
        elif arms.pack is None:
            dropped = "pack_missing"
        elif broken(arms, name, rows):
            dropped = "pack_broken"
    elif source == "fine_tuned" and variant is None:
        # Whatever the lab has not signed is our own decision, and said to be that.
        failed: Dropped = "hook_failed" if "fine_tune" in hooks.failed else "given_up"
        dropped = "hook_refused" if "fine_tune" in hooks.refused else failed
    return StartedArm(id=name, variant=None if dropped else variant, dropped=dropped)


def broken(arms: Arms, arm: str, rows: Sequence[GradeRow]) -> bool:
    """Tell whether an arm answered less of DEV than the plan's floor."""
    outcomes = [row.value.outcome for row in rows if row.arm == arm and row.value.role == DEV]
    answered = sum(outcome in ANSWERED for outcome in outcomes)
    return bool(outcomes) and answered < Decimal(arms.plan.answered_floor) * len(outcomes)


def scheduled_items(
    suite: FrozenSuite, arms: Arms, course: Course, key: SuiteKey, left_out: Container[int]
) -> list[Item]:
    """Return every item of TEST in the arms that run, in an order that tells the lab nothing."""
    order_key = key.class_key("C5")
    epochs: Mapping[str, int] = {arm: arms.registration.epochs_of(arm) for arm in course.running(arms.registration)}
    items = [
        Item(task.i, arm, epoch)
        for task in suite.tasks
        if task.runs and task.i not in left_out
        for arm, count in epochs.items()
        for epoch in range(count)
    ]
    return sorted(items, key=lambda item: sha256(order_key.task_key(item.task) + f"{item.arm}/{item.epoch}".encode()))


def _sources(arms: Arms) -> dict[str, str]:
    return {name: arm.source for name, arm in arms.definitions.items()}
