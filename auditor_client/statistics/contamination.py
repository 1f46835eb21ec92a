"""Probes for items a model has seen before, from log-probabilities it gave through the exchange.

Each gives a one-sided p with a stated null hypothesis. A probe that finds nothing shows little: it says how strong
an effect it would have found. The canary and the exposure test are exact and attested; these are neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Literal, NamedTuple


class Probe(NamedTuple):
    """What a probe found: its p, the size of the effect, and over how many items."""

    name: Literal["option_order", "perplexity_contrast"]
    p: float
    effect: float
    n: int
    computed_by: Literal["auditor"] = "auditor"


def option_order(
    committed: Sequence[float], shuffled: Sequence[Sequence[float]], *, rng_seed: int = 0, resamples: int = 9999
) -> Probe:
    """Test whether a model prefers the order in which items were published (Oren et al. 2024).

    A model that has not seen the items finds their options' orders exchangeable: the published order is likelier
    than the mean of others as often as not. The differences' signs are permuted; the p is one-sided.

    Args:
        committed: the log-probability of each item as published, in nats.
        shuffled: those of the same item in other orders, at least one each.
        rng_seed: of the permutations, so that the same data give the same p.
        resamples: how many permutations; the smallest p is one in as many.

    Raises:
        ValueError: the lists differ in length, an item has no other order, there are fewer than two items, or a
            log-probability is no number.
    """
    import numpy as np  # noqa: PLC0415 - an optional extra
    from scipy import stats  # noqa: PLC0415

    if len(committed) != len(shuffled) or not all(len(others) for others in shuffled):
        raise ValueError("each item has one published order and at least one other")
    if len(committed) < 2:  # noqa: PLR2004 - the sign of one difference is right half of the time
        raise ValueError("one item shows no preference")
    differences = np.array([one - float(np.mean(others)) for one, others in zip(committed, shuffled, strict=True)])
    _check_finite(differences)
    found = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=resamples,
        rng=np.random.default_rng(rng_seed),
    )
    return Probe("option_order", float(found.pvalue), float(differences.mean()), len(differences))


def perplexity_contrast(items: Sequence[float], paraphrases: Sequence[float]) -> Probe:
    """Test whether items are likelier than paraphrases of the same meaning, item by item.

    Wilcoxon's signed-rank test: the null hypothesis is that differences are symmetric about 0, which holds for
    paraphrases written alike and may fail for those written by another model. Compare with a suite nobody can have
    seen before relying on it.

    Args:
        items: mean log-probability a token of each item, in nats.
        paraphrases: the same of its paraphrase.

    Raises:
        ValueError: the lists differ in length, are empty, or a log-probability is no number.
    """
    import numpy as np  # noqa: PLC0415 - an optional extra
    from scipy import stats  # noqa: PLC0415

    if len(items) != len(paraphrases) or not items:
        raise ValueError("each item has one paraphrase")
    differences = np.asarray([one - other for one, other in zip(items, paraphrases, strict=True)], float)
    _check_finite(differences)
    p = 1.0 if not differences.any() else float(stats.wilcoxon(differences, alternative="greater").pvalue)
    return Probe("perplexity_contrast", p, float(differences.mean()), len(differences))


def _check_finite(differences: Iterable[float]) -> None:
    # No comparison with a NaN is true: a permutation test would count none as large, and find p = 0.
    if not all(map(isfinite, differences)):
        raise ValueError("a log-probability is no finite number")
