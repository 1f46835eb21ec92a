"""Shares and their confidence intervals, as exact decimals that every computer writes alike.

Signed documents hold no floats, and two verifiers must compute the same digits: everything here is `decimal` at
60 digits, rounded half to even to 4 places at the end. `docs/spec/results.md` says which interval is for what.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

from attestations import student
from attestations.normal import DIGITS, quantile, tail

PLACES = Decimal("0.0001")
LEVELS = ("0.8", "0.9", "0.95", "0.99")
Bounds = tuple[str, str]


def ratio(part: int | Fraction, whole: int) -> str:
    """Return part / whole with 4 places; 0.0000 of nothing."""
    return rounded(Fraction(part) / whole) if whole else rounded(0)


def half_tail(level: str) -> Fraction:
    """Return what a two-sided interval of this level leaves out on each side.

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99.
    """
    if level not in LEVELS:
        raise ValueError("a level is 0.8, 0.9, 0.95 or 0.99")
    return (1 - Fraction(level)) / 2


def wilson(successes: int, n: int, *, level: str) -> Bounds:
    """Return the Wilson score interval of a share (Wilson 1927), each bound with 4 places.

    Zero successes are not zero: the upper bound for 0 of 20 is 0.1611. Of nothing at all, nothing is known:
    (0.0000, 1.0000).

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99, or more successes than trials.
    """
    if not 0 <= successes <= n:
        raise ValueError("successes lie between 0 and n")
    leaves = half_tail(level)
    return score_interval(Fraction(successes, n), Fraction(n), leaves) if n else ("0.0000", "1.0000")


def wilson_bounds(successes: int, n: int, *, level: str) -> tuple[Decimal, Decimal]:
    """Return both bounds of `wilson` before they are rounded; n is above 0."""
    return _score_bounds(Fraction(successes, n), Fraction(n), half_tail(level))


def score_interval(share: Fraction, n: Fraction, leaves: Fraction, *, freedom: int | None = None) -> Bounds:
    """Return Wilson's interval for a share of `n` effective observations that leaves `leaves` out on each side.

    With `n` divided by a design effect, and Student's quantile with `freedom` degrees of freedom (units less one) in
    the place of the normal one, this is the modified Wilson interval for samples in clusters (Korn and Graubard 1998;
    Franco et al. 2019): a variance that few units show is itself known badly.
    """
    lower, upper = _score_bounds(share, n, leaves, freedom)
    return rounded(lower), rounded(upper)


def _score_bounds(
    share: Fraction, n: Fraction, leaves: Fraction, freedom: int | None = None
) -> tuple[Decimal, Decimal]:
    with localcontext() as context:
        context.prec = DIGITS
        z, p, size = critical(leaves, freedom), as_decimal(share), as_decimal(n)
        spread = z * z / size
        centre = (p + spread / 2) / (1 + spread)
        half = z * (p * (1 - p) / size + spread / (4 * size)).sqrt() / (1 + spread)
        return max(Decimal(0), centre - half), min(Decimal(1), centre + half)


def critical(leaves: Fraction, freedom: int | None) -> Decimal:
    """Return the quantile that leaves so much above it: Student's if there are degrees of freedom, else the normal."""
    return quantile(leaves) if freedom is None else student.quantile(leaves, freedom)


def score_tail(share: Fraction, n: Fraction, threshold: Fraction, *, freedom: int | None = None) -> Decimal:
    """Return the one-sided probability, were the true share `threshold`, of one at least as far above as `share`.

    The score test, which the score interval inverts; ask with 1 - share and 1 - threshold for the other side.
    """
    if not 0 < threshold < 1:
        # At the edge nothing can be rejected, and a share that lies beyond is no share.
        return Decimal(1)
    with localcontext() as context:
        context.prec = DIGITS
        error = as_decimal(threshold * (1 - threshold) / n).sqrt()
        found = as_decimal(share - threshold) / error
        return tail(found) if freedom is None else student.tail(found, freedom)


def paired(
    more: int, less: int, n: int, *, level: str, effect: Fraction = Fraction(1), freedom: int | None = None
) -> Bounds:
    """Return an interval for (more - less) / n over `n` pairs, of which so many differ one way or the other.

    Bonett and Price 2012: a Wald interval of shares with one pair added each way, which keeps its level down to
    small samples and never has no width. Of pairs that hang together all three counts are divided by their design
    effect, and Student's quantile stands in the place of the normal one, as in `score_interval`.

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99, or more pairs that differ than there are.
    """
    if min(more, less) < 0 or more + less > n:
        raise ValueError("pairs that differ lie between 0 and n")
    leaves = half_tail(level)
    if not n:
        return "-1.0000", "1.0000"
    with localcontext() as context:
        context.prec = DIGITS
        pairs = as_decimal(n / effect) + 2
        up, down = (as_decimal(more / effect) + 1) / pairs, (as_decimal(less / effect) + 1) / pairs
        half = critical(leaves, freedom) * ((up + down - (up - down) ** 2) / pairs).sqrt()
        return rounded(max(Decimal(-1), up - down - half)), rounded(min(Decimal(1), up - down + half))


def mean_interval(mean: Fraction, variance: Fraction, *, level: str, units: int) -> Bounds:
    """Return Student's interval of a mean of scores from 0 to 1, given the variance of that mean over so many units.

    `units` is at least 2. Where all scores are equal their variance tells nothing: the bounds are then those of a share
    of so many observations, for equal scores of few units are no certainty.

    Raises:
        ValueError: a level other than 0.8, 0.9, 0.95 or 0.99.
    """
    with localcontext() as context:
        context.prec = DIGITS
        if not variance:
            return score_interval(mean, Fraction(units), half_tail(level), freedom=units - 1)
        centre, half = as_decimal(mean), critical(half_tail(level), units - 1) * as_decimal(variance).sqrt()
        return rounded(max(Decimal(0), centre - half)), rounded(min(Decimal(1), centre + half))


def as_decimal(value: Fraction) -> Decimal:
    """Return a fraction as a decimal of the digits in use."""
    return Decimal(value.numerator) / value.denominator


def rounded(value: Decimal | Fraction | int, places: Decimal = PLACES) -> str:
    """Return a number in its one form: rounded half to even, zero without a sign."""
    with localcontext() as context:
        context.prec = DIGITS
        exact = value if isinstance(value, Decimal) else as_decimal(Fraction(value))
        text = str(exact.quantize(places, rounding=ROUND_HALF_EVEN))
    return text.removeprefix("-") if not Decimal(text) else text
