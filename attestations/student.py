"""Student's t distribution as exact decimals, for figures over few units: every verifier computes the same digits.

Tails are the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4, at 60 digits. Beyond 1000 degrees of freedom the
normal distribution stands in, whose quantiles are then smaller by less than two in a thousand.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from attestations import normal

MOST_FREEDOM = 1000
_DIGITS = normal.DIGITS
_REDUCED = Decimal("0.05")  # below it the series of the arc tangent converges fast
_STEPS = 120  # halvings


def tail(t: Decimal, freedom: int) -> Decimal:
    """Return the probability above `t` with so many degrees of freedom, at least 1."""
    if freedom > MOST_FREEDOM:
        return normal.tail(t)
    with localcontext() as context:
        context.prec = _DIGITS
        within = _within(abs(t), freedom)
        above = (1 - within) / 2
        return above if t >= 0 else 1 - above


@lru_cache(maxsize=1024)
def quantile(upper: Fraction, freedom: int) -> Decimal:
    """Return the t above which lies the probability `upper`, to 20 places.

    Raises:
        ValueError: `upper` is not between 0 and 1/2, or there is no degree of freedom.
    """
    if not 0 < upper <= Fraction(1, 2) or freedom < 1:
        raise ValueError("an upper tail lies between 0 and 1/2, and there is a degree of freedom")
    if freedom > MOST_FREEDOM:
        return normal.quantile(upper)
    with localcontext() as context:
        context.prec = _DIGITS
        wanted = Decimal(upper.numerator) / upper.denominator
        low, high = Decimal(0), Decimal(2)
        while tail(high, freedom) > wanted:
            high *= 2
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if tail(middle, freedom) > wanted:
                low = middle
            else:
                high = middle
        return ((low + high) / 2).quantize(Decimal(1).scaleb(-20))


def _within(t: Decimal, freedom: int) -> Decimal:
    """Return the probability between -t and t."""
    share = freedom / (freedom + t * t)  # the squared cosine of the angle whose tangent is t / sqrt(freedom)
    sine = (1 - share).sqrt()
    odd = freedom % 2
    term = total = share.sqrt() if odd else Decimal(1)
    for step in range(1, (freedom - 1) // 2 if odd else freedom // 2):
        factors = (2 * step, 2 * step + 1) if odd else (2 * step - 1, 2 * step)
        term = term * share * factors[0] / factors[1]
        total += term
    if not odd:
        return sine * total
    angle = _arctan(t / Decimal(freedom).sqrt())
    return 2 / normal.PI * (angle + (sine * total if freedom > 1 else 0))


def _arctan(x: Decimal) -> Decimal:
    doublings = 0
    while x > _REDUCED:
        x = x / (1 + (1 + x * x).sqrt())
        doublings += 1
    power = total = x
    number = 1
    while power > Decimal(1).scaleb(-_DIGITS):
        number += 2
        power = power * x * x
        total += -power / number if number % 4 == 3 else power / number  # noqa: PLR2004 - the signs alternate
    return total * (1 << doublings)
