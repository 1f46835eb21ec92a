"""Shares and their confidence intervals, as exact decimals that every computer writes alike.

Signed documents hold no floats, and two verifiers must compute the same digits: everything here is
`decimal` at 50 digits, rounded half to even to 4 places at the end.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

_PLACES = Decimal("0.0001")
DIGITS = 50
# Two-sided standard normal quantiles (NIST/SEMATECH e-Handbook 1.3.6.7.1), to 20 places.
_QUANTILES = {
    "0.8": Decimal("1.28155156554460046697"),
    "0.9": Decimal("1.64485362695147271460"),
    "0.95": Decimal("1.95996398454005423552"),
    "0.99": Decimal("2.57582930354890076100"),
}
LEVELS = tuple(_QUANTILES)


def ratio(part: int, whole: int) -> str:
    """Return part / whole with 4 places; 0.0000 of nothing."""
    with localcontext() as context:
        context.prec = DIGITS
        return rounded(Decimal(part) / whole if whole else Decimal(0))


def wilson(successes: int, n: int, *, level: str) -> tuple[str, str]:
    """Return the Wilson score interval of a share (Wilson 1927), each bound with 4 places.

    Zero successes are not zero: the upper bound for 0 of 20 is 0.1611. Of nothing at all, nothing is known:
    (0.0000, 1.0000).

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99, or more successes than trials.
    """
    if level not in _QUANTILES:
        raise ValueError("a level is 0.8, 0.9, 0.95 or 0.99")
    if not 0 <= successes <= n:
        raise ValueError("successes lie between 0 and n")
    if n == 0:
        return "0.0000", "1.0000"
    lower, upper = wilson_bounds(successes, n, level=level)
    return rounded(lower), rounded(upper)


def wilson_bounds(successes: int, n: int, *, level: str) -> tuple[Decimal, Decimal]:
    """Return both bounds of `wilson` before they are rounded; n is above 0."""
    if level not in _QUANTILES:
        raise ValueError("a level is 0.8, 0.9, 0.95 or 0.99")
    with localcontext() as context:
        context.prec = DIGITS
        z, share = _QUANTILES[level], Decimal(successes) / n
        spread = z * z / n
        centre = (share + spread / 2) / (1 + spread)
        half = z * (share * (1 - share) / n + spread / (4 * n)).sqrt() / (1 + spread)
        return max(Decimal(0), centre - half), min(Decimal(1), centre + half)


def rounded(value: Decimal) -> str:
    """Return a number with 4 places, half to even; there is one zero."""
    text = str(value.quantize(_PLACES, rounding=ROUND_HALF_EVEN))
    return text.removeprefix("-") if not value.quantize(_PLACES, rounding=ROUND_HALF_EVEN) else text
