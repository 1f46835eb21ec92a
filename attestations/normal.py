"""The standard normal distribution as exact decimals: every verifier computes the same digits.

Tails come from the power series of Abramowitz and Stegun 26.2.11, whose terms are all positive, at 60 digits.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

DIGITS = 60
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_FAR = Decimal(12)  # beyond it a tail is smaller than anything a figure is held against
_STEPS = 120  # halvings of an interval of 12: far below the last digit that is used


def tail(z: Decimal) -> Decimal:
    """Return the probability above `z`."""
    if abs(z) >= _FAR:
        return Decimal(0) if z > 0 else Decimal(1)
    with localcontext() as context:
        context.prec = DIGITS
        term = total = z
        odd = 1
        while abs(term) > Decimal(1).scaleb(-DIGITS):
            odd += 2
            term = term * z * z / odd
            total += term
        density = (-z * z / 2).exp() / (2 * PI).sqrt()
        return Decimal("0.5") - density * total


@lru_cache(maxsize=1024)
def quantile(upper: Fraction) -> Decimal:
    """Return the z above which lies the probability `upper`, to 20 places.

    Raises:
        ValueError: `upper` is not between 0 and 1/2.
    """
    if not 0 < upper <= Fraction(1, 2):
        raise ValueError("a tail lies between 0 and 1/2")
    with localcontext() as context:
        context.prec = DIGITS
        wanted = Decimal(upper.numerator) / upper.denominator
        low, high = Decimal(0), _FAR
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if tail(middle) > wanted:
                low = middle
            else:
                high = middle
        return low.quantize(Decimal(1).scaleb(-20))
