"""Wilson intervals against published values and against the formula in floating point."""

from __future__ import annotations

from statistics import NormalDist

import pytest
from hypothesis import given, strategies as st

from attestations.intervals import LEVELS, ratio, wilson


# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "published"),
    [
        (81, 263, ("0.2553", "0.3662")),
        (15, 148, ("0.0624", "0.1605")),
        (0, 20, ("0.0000", "0.1611")),
        (1, 29, ("0.0061", "0.1718")),
    ],
)
def test_published_intervals(successes: int, n: int, published: tuple[str, str]) -> None:
    assert published == wilson(successes, n, level="0.95")


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from(LEVELS))
def test_the_formula_in_floating_point_agrees(counts: tuple[int, int], level: str) -> None:
    successes, n = counts
    z, share = NormalDist().inv_cdf(0.5 + float(level) / 2), successes / n
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    lower, upper = (float(bound) for bound in wilson(successes, n, level=level))
    assert abs(max(0.0, centre - half) - lower) <= 0.000051
    assert abs(min(1.0, centre + half) - upper) <= 0.000051


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_failures_mirror_successes(counts: tuple[int, int]) -> None:
    successes, n = counts
    lower, upper = wilson(successes, n, level="0.95")
    other_lower, other_upper = wilson(n - successes, n, level="0.95")
    assert round(float(lower) + float(other_upper), 4) == round(float(upper) + float(other_lower), 4) == 1.0


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0, level="0.95") == ("0.0000", "1.0000")
    assert ratio(0, 0) == "0.0000"


def test_ratios_are_rounded_half_to_even() -> None:
    assert [ratio(1, 20_000), ratio(3, 20_000), ratio(2, 3)] == ["0.0000", "0.0002", "0.6667"]


@pytest.mark.parametrize(("successes", "n", "level"), [(1, 2, "0.5"), (3, 2, "0.95"), (-1, 2, "0.95")])
def test_what_makes_no_sense_is_refused(successes: int, n: int, level: str) -> None:
    with pytest.raises(ValueError, match=r"level|successes"):
        wilson(successes, n, level=level)
