"""The interval of a difference between two arms over the same tasks, computed so that anyone gets the same digits.

Newcombe's hybrid score method for paired proportions, with the continuity-corrected correlation (method 10 of
Newcombe 1998, Statistics in Medicine 17:2635-2650). It needs a square root and nothing iterative, stays within
-1 and 1, and is sound where one arm is never right.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import NamedTuple

from attestations.intervals import rounded, wilson_bounds
from attestations.normal import DIGITS


class Pairs(NamedTuple):
    """How tasks came out in an arm and, asked as shipped, in the other."""

    both: int
    only_arm: int
    only_base: int
    neither: int

    @property
    def n(self) -> int:
        """The number of tasks."""
        return sum(self)


def count_pairs(outcomes: Iterable[tuple[bool, bool]]) -> Pairs:
    """Count tasks by (right in the arm, right as shipped)."""
    counted = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    for outcome in outcomes:
        counted[outcome] += 1
    return Pairs(*counted.values())


def paired_difference(pairs: Pairs, *, level: str) -> tuple[str, tuple[str, str]]:
    """Return the difference of two shares over the same tasks and its interval, with 4 places.

    Of nothing at all, nothing is known: 0.0000 within (-1.0000, 1.0000).

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99, or a negative count.
    """
    if min(pairs) < 0:
        raise ValueError("counts are not negative")
    n = pairs.n
    if not n:
        return "0.0000", ("-1.0000", "1.0000")
    with localcontext() as context:
        context.prec = DIGITS
        first, second = pairs.both + pairs.only_arm, pairs.both + pairs.only_base
        low1, high1 = wilson_bounds(first, n, level=level)
        low2, high2 = wilson_bounds(second, n, level=level)
        share1, share2 = Decimal(first) / n, Decimal(second) / n
        difference = share1 - share2
        phi = _correlation(pairs)
        lower = difference - _root(share1 - low1, high2 - share2, phi)
        upper = difference + _root(high1 - share1, share2 - low2, phi)
        bounds = rounded(max(Decimal(-1), lower)), rounded(min(Decimal(1), upper))
        return rounded(difference), bounds


def _root(left: Decimal, right: Decimal, phi: Decimal) -> Decimal:
    return max(Decimal(0), left * left - 2 * phi * left * right + right * right).sqrt()


def _correlation(pairs: Pairs) -> Decimal:
    a, b, c, d = pairs
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return Decimal(0)
    excess = Decimal(a * d - b * c)
    if excess > 0:
        excess = max(Decimal(0), excess - Decimal(pairs.n) / 2)
    return excess / Decimal(margins).sqrt()
