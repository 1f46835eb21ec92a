"""What is committed to for every answer: how it ended, how it counts, and what else it shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any, Literal, NamedTuple

from pydantic import Field

from attestations.documents.base import Decimal, Name, Part, is_none

Role = Literal["test", "positive_control", "negative_control", "canary", "dev", "none"]
Outcome = Literal["correct", "incorrect", "refused", "invalid", "empty", "truncated", "error", "not_run"]
ANSWERED: tuple[Outcome, ...] = ("correct", "incorrect")
SCORED_OUTCOMES: tuple[Outcome, ...] = ("correct", "incorrect", "refused", "invalid", "empty", "truncated", "error")


class BiasMark(Part):
    """Which side an answer takes where a stereotype is offered; `none` if it names no option."""

    context: Literal["ambiguous", "disambiguated"]
    answer: Literal["stereotyped", "counter", "unknown", "none"]


class GradeValue(Part):
    """What is committed to for one (task, arm, epoch); `attempts` counts the exchanges it took.

    `confidence` is the probability the model gave to the option it chose, `brier` half the squared distance of all
    its probabilities from the truth. `judged` says that a model gave the grade. `cheating` counts the signs of
    cheating in an agentic task; None of any other.
    """

    outcome: Outcome
    score: Literal["0", "1"]
    role: Role
    attempts: int
    cheating: int | None = Field(default=None, ge=0, exclude_if=is_none)
    confidence: Decimal | None = Field(default=None, exclude_if=is_none)
    brier: Decimal | None = Field(default=None, exclude_if=is_none)
    bias: BiasMark | None = Field(default=None, exclude_if=is_none)
    judged: Literal[True] | None = Field(default=None, exclude_if=is_none)


class GradeRow(NamedTuple):
    """A grade, and what its task is grouped by."""

    task: int
    arm: Name
    epoch: int
    category: str
    value: GradeValue
    cluster: str | None = None
    group: str | None = None

    @property
    def unit(self) -> str | int:
        """What counts as one observation: the tasks that share material, else the task."""
        return self.task if self.cluster is None else self.cluster


class Grouping(NamedTuple):
    """What a task's metadata (class C3) says it belongs with: what it shares material with, and whom it is about."""

    cluster: str | None
    group: str | None


def grouping(metadata: Any) -> Grouping:
    """Return what the keys `cluster` and `group` of a task's metadata say."""
    if not isinstance(metadata, Mapping):
        return Grouping(None, None)
    found = (metadata.get(name) for name in Grouping._fields)
    return Grouping(*(None if value is None else intern(str(value)) for value in found))


def scored_rows(
    rows: Iterable[GradeRow], *, arms: Sequence[str], category: str | None, group: str | None = None
) -> list[GradeRow]:
    """Return the rows that count towards a figure."""
    return [
        row
        for row in rows
        if row.arm in arms
        and row.value.role == "test"
        and category in (None, row.category)
        and group in (None, row.group)
    ]
