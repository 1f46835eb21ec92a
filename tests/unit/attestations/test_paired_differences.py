"""The interval of a paired difference is the published method's, and keeps what it promises."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from attestations.elicitation.paired import Pairs, count_pairs, paired_difference


def bounds(pairs: Pairs, level: str = "0.95") -> tuple[float, float]:
    lower, upper = paired_difference(pairs, level=level)[1]
    return float(lower), float(upper)


@pytest.mark.parametrize(
    ("pairs", "difference", "expected"),
    [
        # Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009), as published for the
        # square-and-add interval in Fagerland, Lydersen and Laake 2014.
        (Pairs(1, 1, 7, 12), -0.286, (-0.507, -0.026)),
    ],
)
def test_published_examples(pairs: Pairs, difference: float, expected: tuple[float, float]) -> None:
    value, (lower, upper) = paired_difference(pairs, level="0.95")
    assert (float(value), float(lower), float(upper)) == pytest.approx((difference, *expected), abs=0.0006)


def test_the_formula_in_floating_point_gives_the_same() -> None:
    for a, b, c, d in product(range(0, 9, 2), repeat=4):
        n = a + b + c + d
        if not n:
            continue
        low1, high1 = proportion_confint(a + b, n, method="wilson")
        low2, high2 = proportion_confint(a + c, n, method="wilson")
        p1, p2, product_of_margins = (a + b) / n, (a + c) / n, (a + b) * (c + d) * (a + c) * (b + d)
        excess: float = a * d - b * c
        excess = max(0.0, excess - n / 2) if excess > 0 else excess
        phi = excess / sqrt(product_of_margins) if product_of_margins else 0
        lower = p1 - p2 - sqrt(max(0, (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2))
        upper = p1 - p2 + sqrt(max(0, (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2))
        assert bounds(Pairs(a, b, c, d)) == pytest.approx((max(-1, lower), min(1, upper)), abs=0.00006)


def test_without_correlation_it_is_the_interval_of_two_independent_shares() -> None:
    a, b, c, d = 10, 20, 15, 30  # ad = bc
    n = a + b + c + d
    independent = confint_proportions_2indep(a + b, n, a + c, n, method="newcomb", compare="diff")
    assert bounds(Pairs(a, b, c, d)) == pytest.approx(independent, abs=0.00006)


def test_exchanging_the_arms_mirrors_the_interval() -> None:
    lower, upper = bounds(Pairs(5, 9, 2, 4))
    assert bounds(Pairs(5, 2, 9, 4)) == (-upper, -lower)


def test_nothing_found_by_either_arm_is_not_no_difference() -> None:
    assert paired_difference(Pairs(0, 0, 0, 20), level="0.95") == ("0.0000", ("-0.1611", "0.1611"))
    assert paired_difference(Pairs(0, 20, 0, 0), level="0.95") == ("1.0000", ("0.7721", "1.0000"))
    assert paired_difference(Pairs(0, 0, 0, 0), level="0.95") == ("0.0000", ("-1.0000", "1.0000"))


def test_it_covers_the_true_difference_about_as_often_as_it_says() -> None:
    """Exactly, over every table of 15 tasks: no simulation."""
    n, cells = 15, [(0.5, 0.2, 0.05, 0.25), (0.1, 0.4, 0.0, 0.5), (0.3, 0.3, 0.3, 0.1)]
    tables = [
        (Pairs(a, b, c, n - a - b - c), comb(n, a) * comb(n - a, b) * comb(n - a - b, c))
        for a, b, c in product(range(n + 1), repeat=3)
        if a + b + c <= n
    ]
    within = [(pairs, ways, bounds(pairs)) for pairs, ways in tables]
    for both, arm, base, neither in cells:
        covered = sum(
            ways * both**pairs.both * arm**pairs.only_arm * base**pairs.only_base * neither**pairs.neither
            for pairs, ways, (lower, upper) in within
            if lower <= arm - base <= upper
        )
        assert 0.93 < covered <= 1


def test_pairs_are_counted_and_bad_input_is_refused() -> None:
    assert count_pairs([(True, True), (True, False), (True, False), (False, True)]) == Pairs(1, 2, 1, 0)
    with pytest.raises(ValueError, match="negative"):
        paired_difference(Pairs(1, -1, 0, 0), level="0.95")
    with pytest.raises(ValueError, match="level"):
        paired_difference(Pairs(1, 1, 0, 0), level="0.5")
