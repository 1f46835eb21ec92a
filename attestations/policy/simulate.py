"""What a policy says over time for given events: every change of every state, exactly, from `evaluate` alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from attestations.documents.base import parse_moment
from attestations.policy.evaluate import HOLD, Bounds, Seen, State, evaluate, held_days
from attestations.policy.formula import EVENTS, parse_duration
from attestations.policy.model import Policy
from attestations.policy.moments import Workdays, instant, microseconds
from attestations.policy.terms import Source, Term, each_term, terms_of

_EVENT = re.compile(r"(?P<name>[A-Z][A-Z_]*)(?:\((?P<argument>[^()]{1,64}(?:\([a-z0-9-]{1,32}\))?)\))?=(?P<at>.+)")
_AFTERWARDS = timedelta(days=14)


@dataclass(frozen=True)
class Span:
    """One state that lasts from `start` until `end`."""

    state: State
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Track:
    """The states of one class and recipient, without gaps."""

    content_class: str
    to: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Simulation:
    """Every track over one period, and the events that were assumed."""

    start: datetime
    end: datetime
    events: tuple[Seen, ...]
    tracks: tuple[Track, ...]


def parse_event(text: str) -> Seen:
    """Read `RUN_CLOSED=2026-12-01T00:00:00Z`, `HOLD(5)=...` or `RELEASED(C2:PUBLIC)=...`.

    Raises:
        ValueError: it is none of these; the message says what is wrong.
    """
    match = _EVENT.fullmatch(text)
    if match is None:
        raise ValueError("an event is written as RUN_CLOSED=2026-12-01T00:00:00Z or HOLD(5)=2026-12-02T00:00:00Z")
    name, argument = match["name"], match["argument"]
    if name not in EVENTS | {HOLD, "RELEASED"}:
        raise ValueError(f"{name[:40]} is no event of a policy")
    if name == HOLD and not held_days(argument):
        raise ValueError("a hold is a number of business days, as in HOLD(5)")
    at = parse_moment(match["at"])
    return Seen(name, argument, Bounds(at, at))


def simulate(policy: Policy, events: Sequence[Seen], until: datetime | None = None) -> Simulation:
    """Return the states over time, from the first event until `until` or until nothing changes any more."""
    ordered = tuple(sorted(events, key=lambda event: event.at.upper))
    changes = _changes(policy, ordered)
    start = ordered[0].at.lower if ordered else min(changes, default=datetime(2026, 1, 1, tzinfo=UTC))
    end = until or max([start, *changes]) + _AFTERWARDS
    moments = [moment for moment in sorted({start, *changes}) if start <= moment < end] or [start]
    found: dict[tuple[str, str], list[Span]] = {}
    for moment, following in zip(moments, [*moments[1:], end], strict=True):
        known = [event for event in ordered if event.at.upper <= moment]
        for pair, state in evaluate(policy, known, Bounds(moment, moment)).items():
            spans = found.setdefault(pair, [])
            if spans and spans[-1].state is state:
                spans[-1] = Span(state, spans[-1].start, following)
            else:
                spans.append(Span(state, moment, following))
    tracks = tuple(Track(content_class, to, tuple(spans)) for (content_class, to), spans in found.items())
    return Simulation(start, end, ordered, tracks)


def _changes(policy: Policy, events: Sequence[Seen]) -> set[datetime]:
    """Return every moment at which a state may change: events, and when each term comes true under each hold."""
    workdays = Workdays(frozenset(date.fromisoformat(day) for day in policy.calendar.holidays))
    most = parse_duration(policy.max_hold).business_days
    totals = {0}
    for event in events:
        if event.name == HOLD:
            totals |= {min(total + held_days(event.argument), most) for total in totals}
    moments = {event.at.upper for event in events}
    formulas = [policy.permits(rule) for rule in policy.rules]
    formulas += [obliges for rule in policy.rules if (obliges := rule.obliges()) is not None]
    for term in {term for formula in formulas for term in each_term(terms_of(policy, formula))}:
        for source in _when(term, events):
            for total in totals if term.hold else {0}:
                due = workdays.due(term, total, source)
                if due < microseconds(datetime.max.replace(tzinfo=UTC)):
                    moments.add(instant(due))
    return moments


def _when(term: Term, events: Sequence[Seen]) -> list[int]:
    if not isinstance(term.source, Source):
        return [microseconds(term.source)]
    name, argument = term.source.name, term.source.argument
    return [microseconds(e.at.upper) for e in events if e.name == name and argument in (None, e.argument)][:1]
