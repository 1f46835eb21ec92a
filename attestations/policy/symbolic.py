"""The quick proof that one formula never becomes true before another, whatever happens and whatever is held.

A formula becomes true at a time made of minima and maxima of terms `source + span`. With the later formula as a
minimum of maxima and the earlier one as a maximum of minima, "the later implies the earlier" holds when every pair
of such a minimum and maximum shares a source whose span in the earlier is not longer. The proof is sound; where it
fails, `counterexample` decides.
"""

from __future__ import annotations

from datetime import datetime
from itertools import product

from attestations.policy.terms import LOG_ORDER, Both, Either, Term, Terms

MAX_TERMS = 4096
MAX_PAIRS = 16_384  # an offer of 3 kB could else keep whoever reads it busy for hours
MAX_EFFORT = 2_000_000  # histories, and pairs of parts, looked at for one policy: some ten seconds


class TooLarge(Exception):
    """A formula is too large to be looked at; the linter turns it into a finding."""


class Effort:
    """How much looking is left for one policy, whatever its rules: it is the other side that writes them."""

    def __init__(self, left: int = MAX_EFFORT) -> None:
        self._left = left

    def spend(self, steps: int) -> None:
        """Take steps off what is left.

        Raises:
            TooLarge: nothing is left.
        """
        self._left -= steps
        if self._left < 0:
            raise TooLarge


def implies(later: Terms, earlier: Terms, *, in_log_order: bool = False, effort: Effort | None = None) -> bool:
    """Tell whether the implication is plain from the terms alone.

    Raises:
        TooLarge: written out, a formula has more than `MAX_TERMS` parts, or both have too many to compare.
    """
    maxima, minima = written_out(later, outer=Either), written_out(earlier, outer=Both)
    if len(maxima) * len(minima) > MAX_PAIRS:
        raise TooLarge
    if effort is not None:
        effort.spend(len(maxima) * len(minima))
    return all(
        any(_not_later(early, late, in_log_order=in_log_order) for early in minimum for late in maximum)
        for maximum in maxima
        for minimum in minima
    )


def written_out(terms: Terms, *, outer: type[Both | Either]) -> list[frozenset[Term]]:
    """Return the formula as a list (joined by `outer`) of groups joined by the other word."""
    if isinstance(terms, Term):
        return [frozenset({terms})]
    parts = [written_out(part, outer=outer) for part in terms.parts]
    if isinstance(terms, outer):
        return [group for part in parts for group in part]
    size = 1
    for part in parts:
        size *= len(part)
        if size > MAX_TERMS:
            raise TooLarge
    return [frozenset[Term]().union(*choice) for choice in product(*parts)]


def _not_later(early: Term, late: Term, *, in_log_order: bool) -> bool:
    if early.hold and not late.hold:
        return False
    if early.seconds > late.seconds or early.business_days > late.business_days:
        return False
    if isinstance(early.source, datetime) or isinstance(late.source, datetime):
        return isinstance(early.source, datetime) and isinstance(late.source, datetime) and early.source <= late.source
    if in_log_order and early.source in LOG_ORDER and late.source in LOG_ORDER:
        return LOG_ORDER.index(early.source) <= LOG_ORDER.index(late.source)
    return early.source.name == late.source.name and early.source.argument in (None, late.source.argument)
