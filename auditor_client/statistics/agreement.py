"""How far graders agree beyond chance: two people, a person and a model, or several with gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import NamedTuple


class Kappa(NamedTuple):
    """Cohen's kappa and its interval at 95 %; None where the answers show nothing of how far it could be off."""

    value: float
    interval: tuple[float, float] | None
    n: int


def cohen(one: Sequence[Hashable], other: Sequence[Hashable]) -> Kappa:
    """Return the agreement of two graders of the same answers.

    Raises:
        ValueError: they graded another number of answers, or none.
    """
    import numpy as np  # noqa: PLC0415 - an optional extra
    from statsmodels.stats.inter_rater import cohens_kappa  # noqa: PLC0415

    if len(one) != len(other) or not one:
        raise ValueError("two graders of the same answers")
    kinds = {kind: place for place, kind in enumerate(sorted({*one, *other}, key=str))}
    if len(kinds) == 1:
        return Kappa(1.0, None, len(one))
    table = np.zeros((len(kinds), len(kinds)))
    for first, second in zip(one, other, strict=True):
        table[kinds[first], kinds[second]] += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        found = cohens_kappa(table)
    low, high = float(found.kappa_low), float(found.kappa_upp)
    # The asymptotic variance is 0 where graders agree, or differ, throughout: that is no certainty.
    return Kappa(float(found.kappa), (max(-1.0, low), min(1.0, high)) if low < high else None, len(one))


def alpha(units: Sequence[Sequence[Hashable | None]]) -> Fraction | None:
    """Return Krippendorff's alpha for nominal grades, exactly; None where nothing varies.

    Args:
        units: for each answer the grades it got, None where a grader gave none. Answers with fewer than two grades
            say nothing about agreement and are left out.
    """
    rated = [[grade for grade in unit if grade is not None] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    totals = Counter(grade for unit in rated for grade in unit)
    n = totals.total()
    by_chance = n * n - sum(count * count for count in totals.values())
    if not by_chance:
        return None
    differing = sum(
        (Fraction(len(unit) ** 2 - sum(c * c for c in Counter(unit).values()), len(unit) - 1) for unit in rated),
        Fraction(0),
    )
    return 1 - (n - 1) * differing / by_chance
