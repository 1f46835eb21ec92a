"""Every exact figure beside scipy's and statsmodels' of the same name."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from attestations import student
from attestations.clusters import design_effect, spread
from attestations.exposure import exposure_p
from attestations.intervals import paired, score_tail
from attestations.multiplicity import HeldAgainst, holm
from attestations.normal import quantile, tail
from attestations.predicate import Outcomes, Result

stats = pytest.importorskip("scipy.stats", reason="scipy is the reference here")
multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is the reference here")


@given(st.decimals(-9, 9, places=6))
def test_tails_of_the_normal_distribution(z: Decimal) -> None:
    assert float(tail(z)) == pytest.approx(stats.norm.sf(float(z)), rel=1e-12)


@settings(max_examples=20)
@given(st.fractions(Fraction(1, 10_000), Fraction(1, 2), max_denominator=10_000))
def test_quantiles_of_the_normal_distribution(upper: Fraction) -> None:
    assert float(quantile(upper)) == pytest.approx(stats.norm.isf(float(upper)), abs=1e-12)


@given(st.decimals(-50, 50, places=4), st.integers(1, 60))
def test_tails_of_students_distribution(t: Decimal, freedom: int) -> None:
    assert float(student.tail(t, freedom)) == pytest.approx(stats.t.sf(float(t), freedom), rel=1e-9)


@settings(max_examples=30)
@given(st.fractions(Fraction(1, 10_000), Fraction(1, 2), max_denominator=10_000), st.integers(1, 60))
def test_quantiles_of_students_distribution(upper: Fraction, freedom: int) -> None:
    expected = stats.t.isf(float(upper), freedom)
    assert float(student.quantile(upper, freedom)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_beyond_a_thousand_degrees_of_freedom_the_normal_distribution_stands_in() -> None:
    leaves = Fraction(1, 40)
    assert student.quantile(leaves, 1001) == quantile(leaves)
    assert student.tail(Decimal(2), 1001) == tail(Decimal(2))
    assert 1 < student.quantile(leaves, 1000) / quantile(leaves) < Decimal("1.002")
    for upper, freedom in ((Fraction(0), 3), (Fraction(3, 5), 3), (leaves, 0)):
        with pytest.raises(ValueError, match="degree of freedom"):
            student.quantile(upper, freedom)


COUNTS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=40)
@given(COUNTS, COUNTS)
def test_exposure_is_fishers_exact_test(exposed: tuple[int, int], kept: tuple[int, int]) -> None:
    table = [[exposed[0], exposed[1] - exposed[0]], [kept[0], kept[1] - kept[0]]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert float(exposure_p(*exposed, *kept)) == pytest.approx(expected, abs=1e-12)


def test_exposure_is_the_permutation_test_over_every_split() -> None:
    exposed, kept = [1, 1, 1, 0, 1, 1], [0, 1, 0, 0, 0, 1]
    found = stats.permutation_test(
        (exposed, kept), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=1000, alternative="greater"
    )
    assert float(exposure_p(5, 6, 2, 6)) == pytest.approx(found.pvalue, abs=1e-12)  # 924 splits: all of them


@settings(max_examples=40)
@given(COUNTS, st.integers(1, 99))
def test_the_score_test_is_statsmodels(counts: tuple[int, int], percent: int) -> None:
    from statsmodels.stats.proportion import proportions_ztest

    right, n = counts
    at = percent / 100
    _, expected = proportions_ztest(right, n, at, alternative="larger", prop_var=at)
    assert float(score_tail(Fraction(right, n), Fraction(n), Fraction(percent, 100))) == pytest.approx(expected)


def _result(name: str, content_class: str = "C2", verdict: str = "inconclusive") -> Result:
    zeros = Outcomes.model_validate(dict.fromkeys(Outcomes.model_fields, "0"))
    values = {"id": name, "content_class": content_class, "category": None, "arm": "as_shipped", "n": "10"}
    more = {"direction": "riskIncreasing", "outcomes": zeros, "answered": "1.0000", "value": "0.5000"}
    rest = {"interval": ("0.0000", "1.0000"), "level": "0.95", "rule_out": "0.5", "rule_in": None, "verdict": verdict}
    return Result(**(values | more | rest))  # type: ignore[arg-type]


@settings(max_examples=25)
@given(st.lists(st.decimals(0, 1, places=5), min_size=1, max_size=12))
def test_holms_probabilities_are_statsmodels(ps: list[Decimal]) -> None:
    tested = [HeldAgainst(_result(f"m{n}"), out=p, in_=Decimal(1)) for n, p in enumerate(ps)]
    judged = holm(tested, level="0.95")
    found = [float(item.adjusted_p or 0) for item in judged]
    rejected, expected, *_ = multitest.multipletests([float(p) for p in ps], alpha=0.025, method="holm")
    assert found == pytest.approx(list(expected), abs=1e-6)
    ruled = [item.verdict == "ruledOut" for item in judged]
    # Holm rejects at equality too; a probability that is not smaller rules nothing out here.
    assert all(one <= bool(other) for one, other in zip(ruled, rejected, strict=True))
    assert [p < 0.025 for p in expected] == ruled


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=2, max_size=20))
def test_the_variance_of_a_clustered_mean_is_statsmodels(clusters: list[list[int]]) -> None:
    import numpy as np
    from statsmodels.regression.linear_model import OLS

    scores = [(unit, score) for unit, cluster in enumerate(clusters) for score in cluster]
    y, groups = np.array([score for _, score in scores], float), np.array([unit for unit, _ in scores])
    if len(set(y)) < 2:
        return
    # CR1 without the correction for parameters: G/(G-1) alone.
    fit = OLS(y, np.ones_like(y)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, use_t=False
    )
    g = len(clusters)
    found = spread(scores)
    assert float(found.mean) == pytest.approx(y.mean())
    assert float(found.variance) == pytest.approx(fit.bse[0] ** 2 * g / (g - 1), abs=1e-12)


def test_a_group_that_answers_alike_counts_once() -> None:
    alike = spread((unit, unit % 2) for unit in range(20) for _ in range(5))
    assert design_effect(alike) == "5.2632"  # 5 answers a unit, and 20/19 for the 20 units
    assert design_effect(spread((unit, 0) for unit in range(20) for _ in range(5))) == "5.0000"
    assert design_effect(spread((unit, unit % 2) for unit in range(20))) is None


def test_paired_intervals_never_have_no_width() -> None:
    assert paired(0, 0, 50, level="0.95") == ("-0.0533", "0.0533")
    low, high = paired(20, 5, 100, level="0.95")
    assert float(low) > 0 > -float(high)
    mirrored = paired(5, 20, 100, level="0.95")
    assert mirrored == (f"-{high}", f"-{low}")
