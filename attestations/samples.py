"""What a figure rests on besides how its items ended: how they hang together, task by task and format by format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import comb
from typing import NamedTuple

from attestations.clusters import design_effect, spread
from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.errors import MalformedEnvelope, ScoreMismatch
from attestations.grades import ANSWERED, GradeRow
from attestations.predicate import Result


class Sample(NamedTuple):
    """The parts of a figure that its counts alone do not give; None where they would add nothing."""

    units: int | None = None
    design_effect: str | None = None
    by_task: tuple[int, ...] | None = None
    by_format: tuple[int, ...] | None = None


class Basis(NamedTuple):
    """The share, or one share for each format, and of how many independent observations each is."""

    shares: tuple[Fraction, ...]
    size: Fraction
    freedom: int | None = None  # degrees of freedom of the design effect; None of independent observations

    @property
    def value(self) -> Fraction:
        """The figure: the largest of the shares."""
        return max(self.shares, default=Fraction(0))


def sample(plan: AnalysisPlan, metric: PlannedMetric, rows: Sequence[GradeRow]) -> Sample:
    """Return what a figure's rows say of how they hang together.

    Raises:
        ScoreMismatch: the formats, of which the largest share is to be found, are not of equally many items.
    """
    if metric.measure == "pass_at_k":
        return _by_task(metric, rows)
    if metric.measure == "format_max":
        groups = [[row for row in rows if row.arm == arm] for arm in plan.formats]
        if len({len(group) for group in groups}) > 1:
            raise ScoreMismatch(f"{metric.id} is of formats with different numbers of items", metric=metric.id)
        found = [_together(group) for group in groups]
        effects = [item.design_effect for item in found if item.design_effect is not None]
        return Sample(
            units=found[0].units if found else None,
            design_effect=max(effects, key=Decimal, default=None),
            by_format=tuple(sum(_right(row) for row in group) for group in groups),
        )
    if metric.measure == "answered_accuracy":
        rows = [row for row in rows if row.value.outcome in ANSWERED]
    return _together(rows)


def basis(metric: PlannedMetric, counts: dict[str, int], known: Sample) -> Basis:
    """Return what a figure's interval is computed from.

    Raises:
        MalformedEnvelope: the plan wants to see more attempts than there are.
    """
    n, correct = sum(counts.values()), counts.get("correct", 0)
    effect = Fraction(known.design_effect or 1)
    freedom = None if known.units is None else max(1, known.units - 1)
    if metric.measure == "pass_at_k" and known.by_task is not None:
        tasks = sum(known.by_task)
        return Basis((_pass_at(metric.k or 1, known.by_task),), tasks / effect, freedom)
    if metric.measure == "format_max" and known.by_format:
        each = Fraction(n, len(known.by_format))
        return Basis(tuple(Fraction(right) / each for right in known.by_format) if n else (), each / effect, freedom)
    if metric.measure == "answered_accuracy":
        n = sum(counts.get(outcome, 0) for outcome in ANSWERED)
    return Basis((Fraction(correct, n),) if n else (), n / effect, freedom)


def sample_of(metric: PlannedMetric, result: Result) -> Sample:
    """Return what a published figure says it rests on.

    Raises:
        ScoreMismatch: that cannot be, whatever the grades are.
    """
    counts = {name: int(count) for name, count in result.outcomes.model_dump().items()}
    n, correct = sum(counts.values()), counts["correct"]
    by_task = None if result.by_task is None else tuple(map(int, result.by_task))
    by_format = None if result.by_format is None else tuple(map(int, result.by_format))
    known = Sample(None if result.units is None else int(result.units), result.design_effect, by_task, by_format)
    wanted = {"pass_at_k": (True, False), "format_max": (False, True)}.get(metric.measure or "", (False, False))
    sound = (
        wanted == (by_task is not None, by_format is not None)
        and (result.units is None) == (result.design_effect is None)
        and (result.design_effect is None or Decimal(result.design_effect) >= 1)
        and (known.units is None or 1 <= known.units <= max(1, n))
        and (by_task is None or _adds_up(by_task, n, correct))
        and (by_format is None or (sum(by_format) == correct and n % max(1, len(by_format)) == 0))
        and (by_format is None or all(right * len(by_format) <= n for right in by_format))
    )
    if not sound:
        raise ScoreMismatch(f"{result.id} says that it rests on what cannot be", metric=result.id, field="units")
    return known


def check_observations(metric: PlannedMetric, result: Result, known: Sample, *, tasks: int) -> None:
    """Check that a figure over all items counts no answer to a task as a task of its own, however often it was asked.

    Args:
        metric: what was planned.
        result: the published figure.
        known: what it says it rests on (`sample_of`).
        tasks: how many scored tasks were planned.

    Raises:
        ScoreMismatch: it rests on more observations than there are tasks, or on other tasks.
    """
    items = int(result.n) // max(1, len(known.by_format or ()))
    if metric.measure == "answered_accuracy":
        items = int(result.outcomes.correct) + int(result.outcomes.incorrect)
    elif known.by_task is not None:
        items = sum(known.by_task)
        if items != tasks:
            raise ScoreMismatch(f"{result.id} is over {items} tasks, {tasks} were planned", metric=result.id)
    if (items if known.units is None else known.units) > tasks:
        raise ScoreMismatch(
            f"{result.id} counts answers to one task as independent", metric=result.id, field="designEffect"
        )


def _together(rows: Sequence[GradeRow]) -> Sample:
    found = spread((row.unit, _right(row)) for row in rows)
    effect = design_effect(found)
    return Sample() if effect is None else Sample(found.units, effect)


def _by_task(metric: PlannedMetric, rows: Sequence[GradeRow]) -> Sample:
    right, units = Counter[int](), {}
    epochs = len({row.epoch for row in rows})
    for row in rows:
        right[row.task] += _right(row)
        units[row.task] = row.unit
    histogram = Counter(right[task] for task in units)
    by_task = tuple(histogram[count] for count in range(epochs + 1))
    values = [(units[task], _chance(metric.k or 1, right[task], epochs)) for task in units]
    found = spread(values)
    effect = design_effect(found)
    return Sample(None if effect is None else found.units, effect, by_task=by_task)


def _pass_at(k: int, by_task: Sequence[int]) -> Fraction:
    tasks, epochs = sum(by_task), len(by_task) - 1
    total = sum((count * _chance(k, right, epochs) for right, count in enumerate(by_task)), Fraction(0))
    return total / tasks if tasks else Fraction(0)


def _chance(k: int, right: int, epochs: int) -> Fraction:
    # Chen et al. 2021, "Evaluating large language models trained on code": unbiased, from all attempts.
    if k > epochs:
        raise MalformedEnvelope("the plan asks for more attempts than there are epochs", field="k")
    return 1 - Fraction(comb(epochs - right, k), comb(epochs, k))


def _adds_up(by_task: Sequence[int], n: int, correct: int) -> bool:
    epochs = len(by_task) - 1
    return sum(by_task) * epochs == n and sum(right * count for right, count in enumerate(by_task)) == correct


def _right(row: GradeRow) -> int:
    return row.value.outcome == "correct"
