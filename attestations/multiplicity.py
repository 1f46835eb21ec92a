"""Many figures, one promise: verdicts that hold together at the plan's level (Holm 1979).

The family is the figures of one class with a threshold, over all arms: overall figures are judged together at S2,
those by category or group together at S3, so that each stage can be recomputed from what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from attestations.intervals import as_decimal, half_tail, rounded
from attestations.predicate import Result

_PLACES = Decimal("0.000001")


class HeldAgainst(NamedTuple):
    """A figure and its one-sided probabilities: below the threshold that rules out, beyond the one that rules in."""

    result: Result
    out: Decimal
    in_: Decimal

    @property
    def p(self) -> Decimal:
        """The smaller of both: at most one side can be claimed."""
        return min(self.out, self.in_)


def holm(tested: Sequence[HeldAgainst], *, level: str) -> tuple[Result, ...]:
    """Return the figures, in their order, with adjusted probabilities and the verdicts these allow.

    Figures that mean nothing count towards the family: planning more never makes a claim easier.
    """
    with_threshold = [item for item in tested if _has_threshold(item.result)]
    limit = as_decimal(half_tail(level))
    judged: dict[int, Result] = {}
    for content_class in ("C2", "C3"):
        family = [item for item in with_threshold if item.result.content_class == content_class]
        order = sorted((item for item in family if _speaks(item.result)), key=lambda item: item.p)
        largest = Decimal(0)
        for step, item in enumerate(order):
            largest = max(largest, min(Decimal(1), item.p * (len(family) - step)))
            side = "ruledOut" if item.out <= item.in_ else "ruledIn"
            verdict = side if largest < limit else "inconclusive"
            judged[id(item)] = item.result.model_copy(
                update={"verdict": verdict, "adjusted_p": rounded(largest, _PLACES)}
            )
    return tuple(judged.get(id(item), item.result) for item in tested)


def _has_threshold(result: Result) -> bool:
    return result.rule_out is not None or result.rule_in is not None


def _speaks(result: Result) -> bool:
    return result.verdict != "uninterpretable"
