"""The exact search for a history and a moment at which one formula holds and another does not.

At a fixed moment and hold, each term is true exactly when its source lies at or before a threshold. So the truth
of all terms on one source depends only on where the source lies among their thresholds, and a formula sees nothing
else. The order of the thresholds changes with the moment only at weekends, holidays, fixed instants and a few times
of day; trying one moment of each kind tries them all. Nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, product

from attestations.policy.moments import Workdays, instant, microseconds, moments
from attestations.policy.symbolic import Effort, TooLarge
from attestations.policy.terms import LOG_ORDER, Source, Term, Terms, each_term, holds

MAX_HISTORIES = 100_000
MAX_MOMENTS = 200_000
_NEVER = None


@dataclass(frozen=True)
class Counterexample:
    """A history, a total hold in business days, and the moment at which the implication fails."""

    happened: tuple[tuple[Source, datetime], ...]
    hold: int
    now: datetime

    def __str__(self) -> str:
        told = ", ".join(f"{source} on {at:%Y-%m-%d %H:%M}" for source, at in self.happened) or "nothing has happened"
        held = f", {self.hold} business days held" if self.hold else ""
        return f"{told}{held}, looked at on {self.now:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Question:
    """Does `premise` always imply `conclusion`, for every hold of `holds` business days?"""

    premise: Terms
    conclusion: Terms
    holds: Sequence[int] = (0,)
    in_log_order: bool = False


def find(question: Question, workdays: Workdays, effort: Effort | None = None) -> Counterexample | None:
    """Return a history in which the premise holds and the conclusion does not, or None when there is none.

    Raises:
        TooLarge: more histories than a peer may make us look at.
    """
    terms = tuple(dict.fromkeys([*each_term(question.premise), *each_term(question.conclusion)]))
    effort = effort or Effort()
    holds_ = question.holds if any(term.hold for term in terms) else (0,)
    seen: set[object] = set()
    for hold in holds_:
        for now in moments(terms, hold, workdays, limit=MAX_MOMENTS // len(holds_)):
            thresholds = {term: workdays.latest(term, hold, now) for term in terms}
            kind = _kind(thresholds)
            if kind in seen:
                continue
            seen.add(kind)
            found = _at(question, thresholds, effort)
            if found is not None:
                happened = tuple((source, instant(at)) for source, at in found if at is not None)
                return Counterexample(happened, hold, instant(now))
    return None


def _kind(thresholds: Mapping[Term, int]) -> object:
    """What a formula can tell this moment by: the order of the thresholds, and which instants have passed."""
    order = {value: rank for rank, value in enumerate(sorted(set(thresholds.values())))}
    return tuple(
        _passed(term, at) if isinstance(term.source, datetime) else order[at] for term, at in thresholds.items()
    )


def _passed(term: Term, threshold: int) -> bool:
    assert isinstance(term.source, datetime)  # noqa: S101 - the caller looked
    return microseconds(term.source) <= threshold


def _at(
    question: Question, thresholds: Mapping[Term, int], effort: Effort
) -> tuple[tuple[Source, int | None], ...] | None:
    sources = sorted({term.source for term in thresholds if isinstance(term.source, Source)}, key=str)
    before = _orders(sources, in_log_order=question.in_log_order)
    linked = {source for pair in before for source in pair}
    shared = sorted({at for term, at in thresholds.items() if term.source in linked})
    places = []
    for source in sources:
        own = sorted({at for term, at in thresholds.items() if term.source == source})
        places.append([*(shared if source in linked else own), _NEVER])
    size = 1
    for choices in places:
        size *= len(choices)
    if size > MAX_HISTORIES:
        raise TooLarge
    effort.spend(size)
    for chosen in product(*places):
        times = dict(zip(sources, chosen, strict=True))
        if any(not _in_order(times[first], times[then]) for first, then in before):
            continue

        def true(term: Term, times: Mapping[Source, int | None] = times) -> bool:
            if isinstance(term.source, datetime):
                return _passed(term, thresholds[term])
            at = times[term.source]
            return at is not None and at <= thresholds[term]

        if holds(question.premise, true) and not holds(question.conclusion, true):
            return tuple(times.items())
    return None


def _orders(sources: Sequence[Source], *, in_log_order: bool) -> list[tuple[Source, Source]]:
    """Return the pairs of which the first is never later than the second."""
    known = set(sources)
    pairs = [
        (Source(source.name), source)
        for source in sources
        if source.argument is not None and Source(source.name) in known
    ]
    if in_log_order:
        chain = [source for source in LOG_ORDER if source in known]
        pairs += list(pairwise(chain))
    return pairs


def _in_order(first: int | None, then: int | None) -> bool:
    return then is None or (first is not None and first <= then)
