"""What is wrong with the arms that a figure over formats is of: told to an author before, to a verifier afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attestations.scaffolds.method import Arm


class AskedArm(NamedTuple):
    """An arm, the variant it asks and how often; a variant of None is that of every arm that names none."""

    arm: Arm
    variant: str | None
    epochs: int


def format_faults(formats: Sequence[str], asked: Sequence[AskedArm]) -> Iterator[tuple[str, str]]:
    """Give the arms that are not what their names or a plan's `formats` say, each with what is wrong.

    Formats are different ways of asking the same of the same model, and all of them ran: only an arm of another
    source than `registered` can be dropped, so that no figure over formats is of fewer than were planned.
    """
    for arm, _, _ in asked:
        if arm.misnamed:
            yield arm.id, "asks in another format than its name says"
    known = {item.arm.id: item for item in asked}
    before: list[AskedArm] = []
    for name in formats:
        item = known.get(name)
        if item is None:
            yield name, "is planned as a format and is no arm"
            continue
        if item.arm.source != "registered":
            yield name, "is planned as a format and need not be asked"
        if any(item.arm.method == other.arm.method for other in before):
            yield name, "is planned as a format that is counted already"
        if before and (item.variant, item.epochs) != (before[0].variant, before[0].epochs):
            yield name, "is planned as a format and asks another model, or more often or less, than the first"
        before.append(item)
