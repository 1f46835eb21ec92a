"""How often each probe and each interval errs, by seeded simulation: what they promise, measured."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache

import pytest

from attestations.clusters import design_effect, spread
from attestations.exposure import exposure_p
from attestations.intervals import half_tail, mean_interval, paired, score_interval, wilson
from auditor_client.commands.probing import concluded
from auditor_client.probing import Item
from auditor_client.statistics.agreement import alpha, cohen
from auditor_client.statistics.contamination import Probe, option_order, perplexity_contrast

np = pytest.importorskip("numpy")
pytest.importorskip("scipy")
pytest.importorskip("statsmodels")


@cache
def p_of(exposed: int, kept: int, n: int) -> float:
    return float(exposure_p(exposed, n, kept, n))


def found(base: float, gain: float, *, n: int, runs: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    exposed, kept = rng.binomial(n, base + gain, runs), rng.binomial(n, base, runs)
    return sum(p_of(int(a), int(b), n) < 0.01 for a, b in zip(exposed, kept, strict=True)) / runs


def test_training_on_exposed_items_is_found_and_its_absence_is_not() -> None:
    """T124: +20 points on 200 items each, p < 0.01 in 90 % of runs; without exposure in no more than 1.5 %."""
    assert found(0.4, 0.20, n=200, runs=2000, seed=1) >= 0.90
    assert found(0.4, 0.0, n=200, runs=4000, seed=2) <= 0.015


@pytest.mark.parametrize(("gain", "n", "power"), [(0.10, 200, 0.38), (0.15, 200, 0.75), (0.10, 400, 0.70)])
def test_the_exposure_test_has_the_power_it_is_said_to_have(gain: float, n: int, power: float) -> None:
    """T124: an exact test of counts is a little careful, so within 6 points of the study's figures."""
    assert abs(found(0.4, gain, n=n, runs=800, seed=3) - power) < 0.06


def test_the_order_probe_finds_a_preference_and_keeps_its_level() -> None:
    rng = np.random.default_rng(4)

    def p(preference: float) -> float:
        committed = rng.normal(preference, 1, 60)
        return option_order(list(committed), [list(others) for others in rng.normal(0, 1, (60, 3))], resamples=499).p

    assert sum(p(0.0) < 0.05 for _ in range(120)) <= 12  # 6 expected; 12 or fewer in 99 % of such tests
    assert sum(p(0.6) < 0.05 for _ in range(30)) >= 27


def test_the_perplexity_probe_finds_memory_and_keeps_its_level() -> None:
    rng = np.random.default_rng(5)

    def p(memory: float) -> float:
        return perplexity_contrast(list(rng.normal(memory, 1, 60)), list(rng.normal(0, 1, 60))).p

    assert sum(p(0.0) < 0.05 for _ in range(300)) <= 25  # 15 expected
    assert sum(p(0.7) < 0.05 for _ in range(60)) >= 54


@pytest.mark.parametrize("probe", [option_order, perplexity_contrast])
def test_probes_refuse_lists_that_do_not_belong_together(probe: object) -> None:
    with pytest.raises(ValueError, match="each item"):
        probe([1.0], [])  # type: ignore[operator]


@pytest.mark.parametrize("absent", [float("nan"), float("-inf")])
def test_probes_find_nothing_in_what_is_no_number(absent: float) -> None:
    """A permutation test takes a NaN for p = 0: memory, proved by a gap in the data."""
    with pytest.raises(ValueError, match="no finite number"):
        option_order([absent, -1.0, -2.0], [[-2.0], [-1.0], [-3.0]])
    with pytest.raises(ValueError, match="no finite number"):
        perplexity_contrast([absent, -1.0], [-2.0, -1.0])
    with pytest.raises(ValueError, match="one item"):
        option_order([-1.0], [[-2.0]])


def test_answers_that_allow_no_result_are_kept_all_the_same() -> None:
    def found(items: Sequence[Item]) -> Probe:
        return option_order([item.logprobs[0] for item in items], [item.logprobs[1:] for item in items])

    line, data = concluded(found, [Item(3, (-1.0, -2.0), (4, 4))])
    assert (line, data) == ("no result from 1 items: one item shows no preference", {"n": 1})


@pytest.mark.parametrize(("one", "other", "value"), [("C", "I", 0), ("CICI", "CICI", 1), ("CI", "IC", -1)])
def test_agreement_without_exception_is_no_certainty(one: str, other: str, value: int) -> None:
    found = cohen(one, other)
    assert found.value == pytest.approx(value)
    assert found.interval is None


def test_a_seen_text_with_no_difference_at_all_is_no_finding() -> None:
    assert perplexity_contrast([1.0, 2.0], [1.0, 2.0]).p == 1.0


@pytest.mark.parametrize(("n", "share"), [(20, 0.05), (50, 0.5), (200, 0.02), (300, 0.9)])
def test_wilson_covers_as_often_as_it_says(n: int, share: float) -> None:
    rng = np.random.default_rng(6)
    covered = [_covers(wilson(int(x), n, level="0.95"), share) for x in rng.binomial(n, share, 1500)]
    assert 0.92 <= sum(covered) / len(covered) <= 0.985


def test_paired_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    drawn = rng.multinomial(60, (0.2, 0.1, 0.7), 1500)
    covered = [_covers(paired(int(b), int(c), 60, level="0.95"), 0.1) for b, c, _ in drawn]
    assert 0.93 <= sum(covered) / len(covered) <= 0.98


def test_ignoring_clusters_is_what_makes_intervals_lie() -> None:
    """Forty texts of five items, answered nearly alike: naive intervals cover far less than they say."""
    rng = np.random.default_rng(8)
    naive, robust = 0, 0
    for _ in range(300):
        ps = rng.beta(0.5, 0.5, 40)
        scores = [(unit, int(score)) for unit in range(40) for score in rng.binomial(1, ps[unit], 5)]
        known = spread(scores)
        size = Fraction(known.n) / Fraction(design_effect(known) or 1)
        robust += _covers(score_interval(known.mean, size, half_tail("0.95"), freedom=known.units - 1), 0.5)
        naive += _covers(wilson(int(known.mean * known.n), known.n, level="0.95"), 0.5)
    assert robust / 300 >= 0.92
    assert naive / 300 <= 0.85


@pytest.mark.parametrize("units", [4, 6, 8])
def test_intervals_over_few_units_cover_as_often_as_they_say(units: int) -> None:
    """With normal quantiles they cover 0.89 to 0.92 of the time here: few units show little of how much units vary."""
    rng = np.random.default_rng(10)
    share = mean = 0
    for _ in range(400):
        ps = rng.beta(1, 1, units)
        known = spread((unit, int(score)) for unit in range(units) for score in rng.binomial(1, ps[unit], 10))
        size = Fraction(known.n) / Fraction(design_effect(known) or 1)
        share += _covers(score_interval(known.mean, size, half_tail("0.95"), freedom=units - 1), 0.5)
        mean += _covers(mean_interval(known.mean, known.variance, level="0.95", units=units), 0.5)
    assert 0.93 <= share / 400 <= 1
    assert 0.92 <= mean / 400 <= 0.99


@pytest.mark.parametrize("units", [2, 4, 8])
def test_rare_differences_of_few_units_are_covered_as_often_as_they_say(units: int) -> None:
    """Student's interval over the units covers 0.39, 0.62 and 0.85 of the time here, and mostly has no width."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        ps = rng.beta(0.5, 9.5, units)
        known = spread((unit, int(score)) for unit in range(units) for score in rng.binomial(1, ps[unit], 6))
        more, n = int(known.mean * known.n), known.n
        effect = Fraction(design_effect(known, (Fraction(more, n) - known.mean**2) / n) or 1)
        covered += _covers(paired(more, 0, n, level="0.95", effect=effect, freedom=units - 1), 0.05)
    assert covered / 300 >= 0.93


def test_intervals_of_means_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        known = spread((unit, Fraction(int(score * 1000), 1000)) for unit, score in enumerate(rng.beta(2, 5, 80)))
        covered += _covers(mean_interval(known.mean, known.variance, level="0.95", units=known.units), 2 / 7)
    assert 0.91 <= covered / 300 <= 0.99


def test_agreement_of_two_graders() -> None:
    one, other = "CCIICCIICC", "CCIICCIICI"
    kappa = cohen(one, other)
    assert kappa.value == pytest.approx(0.8)
    assert kappa.interval is not None
    assert cohen("CCC", "CCC") == (1.0, None, 3)
    with pytest.raises(ValueError, match="same answers"):
        cohen("CC", "C")


def test_agreement_of_several_graders_with_gaps() -> None:
    coders = ("123324121....", "1233224121253", ".333234221513", "1233244121511")
    columns = [[None if grade == "." else grade for grade in column] for column in zip(*coders, strict=False)]
    exact = alpha(columns)
    assert exact is not None
    reference = pytest.importorskip("krippendorff", reason="its own package is the reference here")
    data = [[np.nan if cell == "." else float(cell) for cell in coder.ljust(13, ".")] for coder in coders]
    assert float(exact) == pytest.approx(reference.alpha(data, level_of_measurement="nominal"))


def test_where_nothing_varies_there_is_no_alpha() -> None:
    assert alpha([["C", "C"], ["C", "C"]]) is None


def _covers(bounds: tuple[str, str], truth: float) -> bool:
    return Decimal(bounds[0]) <= Decimal(truth) <= Decimal(bounds[1])
