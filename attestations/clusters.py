"""How much less a share says when its items come in groups: items of one text, or one task asked several times.

The unit is a group that shares material, else a task; answers of one unit are averaged before units are compared
(Miller 2024, "Adding error bars to evals"). All of it is exact fractions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

from attestations.intervals import PLACES, as_decimal
from attestations.normal import DIGITS


class Spread(NamedTuple):
    """How scores spread over units: their number, their mean, and the variance of that mean."""

    n: int
    units: int
    mean: Fraction
    variance: Fraction


def spread(scores: Iterable[tuple[Hashable, Fraction | int]]) -> Spread:
    """Return the mean of (unit, score) pairs and its variance, robust to whatever units have in common."""
    totals: dict[Hashable, Fraction] = {}
    sizes: dict[Hashable, int] = {}
    for unit, score in scores:
        totals[unit] = totals.get(unit, Fraction(0)) + score
        sizes[unit] = sizes.get(unit, 0) + 1
    n, units = sum(sizes.values()), len(sizes)
    if not n:
        return Spread(0, 0, Fraction(0), Fraction(0))
    mean = sum(totals.values(), Fraction(0)) / n
    if units == 1:
        return Spread(n, 1, mean, Fraction(0))
    residuals = sum(((totals[unit] - mean * sizes[unit]) ** 2 for unit in totals), Fraction(0))
    return Spread(n, units, mean, Fraction(units, units - 1) * residuals / (n * n))


def design_effect(found: Spread, even: Fraction | None = None) -> str | None:
    """Return by how much clustering widens an interval, rounded up to 4 places, or None where every item is a unit.

    It is never below 1. Where all scores are equal nothing shows how units spread: each counts as one observation.
    `even` is the variance that the mean of independent items would have; without it, that of a share.
    """
    if found.units == found.n:
        return None
    even = found.mean * (1 - found.mean) / found.n if even is None else even
    if found.units == 1 or not even:
        return _up(Fraction(found.n, max(1, found.units)))
    return _up(max(Fraction(1), found.variance / even))


def _up(value: Fraction) -> str:
    with localcontext() as context:
        context.prec = DIGITS
        return str(Decimal(as_decimal(value)).quantize(PLACES, rounding=ROUND_CEILING))
