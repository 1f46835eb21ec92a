"""What the policy says now: one pure function that auditor, lab, regulator and verifier all call.

Times are known only within bounds. A permission holds when it surely holds, an obligation is overdue
when it is surely late, and in between the answer is INDETERMINATE (`docs/spec/policy.md` rule 8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from attestations.policy.calendar import add
from attestations.policy.formula import After, AllOf, AnyOf, Duration, Event, Formula, parse_duration
from attestations.policy.model import Policy, Rule

HOLD = "HOLD"
ALREADY_PUBLIC = "ALREADY_PUBLIC"
RELEASED = "RELEASED"
SHOWN = "SHOWN"
"""Something of a class was released that does not meet an obligation: an emergency's items, or nothing but holes."""
_DAYS = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


class State(StrEnum):
    """The state of one (class, recipient)."""

    FORBIDDEN = "FORBIDDEN"
    INDETERMINATE = "INDETERMINATE"
    PERMITTED = "PERMITTED"
    OVERDUE = "OVERDUE"
    RELEASED = "RELEASED"


@dataclass(frozen=True)
class Bounds:
    """An instant known to lie between two others (inclusive)."""

    lower: datetime
    upper: datetime


@dataclass(frozen=True)
class Seen:
    """An event in the log, with the bounds of its time; with a `scope`, of (class, recipient) it is about alone."""

    name: str
    argument: str | None
    at: Bounds
    scope: frozenset[tuple[str, str]] | None = None


def evaluate(policy: Policy, events: Sequence[Seen], now: Bounds) -> dict[tuple[str, str], State]:
    """Return the state of every (class, recipient) the policy has a rule for; all others are FORBIDDEN.

    Args:
        policy: the signed policy.
        events: the verified events of the log up to `now`, in order; releases are events named `RELEASED`
            whose argument is `class:recipient`, holds are named `HOLD` with a number of business days.
        now: the bounds of the present instant.
    """
    return {(rule.content_class, rule.to): _state(_world(policy, events, rule), rule, now) for rule in policy.rules}


def held_days(argument: str | None) -> int:
    """Return how many business days a hold asks for; 0 for an argument that is no number."""
    return int(argument) if argument is not None and _DAYS.fullmatch(argument) else 0


def permitted(policy: Policy, events: Sequence[Seen], now: Bounds, *, content_class: str, recipient: str) -> State:
    """Return whether a release would be permitted now, leaving aside whether it has already been made."""
    rule = policy.rule(content_class, recipient)
    if rule is None:
        return State.FORBIDDEN
    return _permission(_world(policy, events, rule).holding(rule), rule, now)


def _world(policy: Policy, events: Sequence[Seen], rule: Rule) -> _World:
    place = (rule.content_class, rule.to)
    return _World(policy, [event for event in events if event.scope is None or place in event.scope])


def _state(world: _World, rule: Rule, now: Bounds) -> State:
    if world.released(rule):
        return State.RELEASED
    world = world.holding(rule)
    obliges = rule.obliges()
    if obliges is not None and world.surely(obliges, now):
        return State.OVERDUE
    return _permission(world, rule, now)


def _permission(world: _World, rule: Rule, now: Bounds) -> State:
    if world.published(rule) or world.surely(world.permits(rule), now):
        return State.PERMITTED
    return State.INDETERMINATE if world.possibly(world.permits(rule), now) else State.FORBIDDEN


class _World:
    """The events, looked at through one policy."""

    def __init__(self, policy: Policy, events: Sequence[Seen], held: int = 0) -> None:
        self._policy = policy
        self._events = events
        self._holidays = frozenset(date.fromisoformat(day) for day in policy.calendar.holidays)
        self._hold = Duration(business_days=min(held, parse_duration(policy.max_hold).business_days))

    def holding(self, rule: Rule) -> _World:
        """Return this world with every hold that came in time for a rule.

        A hold logged once the permission surely held would take back what was permitted; it counts for nothing.
        """
        held, most = 0, parse_duration(self._policy.max_hold).business_days
        for place, event in enumerate(self._events):
            if event.name == HOLD and held < most:
                then = _World(self._policy, self._events[:place], held)
                if not then.surely(self.permits(rule), event.at):
                    held += held_days(event.argument)
        return _World(self._policy, self._events, held) if held else self

    def released(self, rule: Rule) -> bool:
        # Whoever is shown the commitments is shown who audits whom: the agreement stands in the same file.
        shown_by = ("C0", "C1") if rule.content_class == "C0" else (rule.content_class,)
        wanted = {f"{content_class}:{rule.to}" for content_class in shown_by}
        return any(event.name == RELEASED and event.argument in wanted for event in self._events)

    def published(self, rule: Rule) -> bool:
        """Tell whether the class is out already; hazards stay forbidden to all whatever leaked."""
        if rule.content_class == "C9" and rule.to in ("PUBLIC", "LAB_ALL"):
            return False
        return any(event.name == ALREADY_PUBLIC and event.argument == rule.content_class for event in self._events)

    def permits(self, rule: Rule) -> Formula:
        return self._policy.permits(rule)

    def surely(self, formula: Formula, now: Bounds) -> bool:
        return self._holds(formula, now.lower, surely=True)

    def possibly(self, formula: Formula, now: Bounds) -> bool:
        return self._holds(formula, now.upper, surely=False)

    def _holds(self, formula: Formula, bound: datetime, *, surely: bool) -> bool:
        match formula:
            case AllOf(parts):
                return all(self._holds(part, bound, surely=surely) for part in parts)
            case AnyOf(parts):
                return any(self._holds(part, bound, surely=surely) for part in parts)
            case Event():
                return self._first(formula) is not None
            case After():
                start = self._start(formula, surely=surely)
                if start is None:
                    return False
                due = add(start, formula.duration, self._holidays)
                return (add(due, self._hold, self._holidays) if formula.hold else due) <= bound

    def _start(self, formula: After, *, surely: bool) -> datetime | None:
        if isinstance(formula.base, datetime):
            return formula.base
        seen = self._first(formula.base or Event(self._policy.anchor, None))
        if seen is None:
            return None
        return seen.at.upper if surely else seen.at.lower

    def _first(self, wanted: Event) -> Seen | None:
        for event in self._events:
            if event.name == wanted.name and wanted.argument in (None, "*", event.argument):
                return event
        return None
