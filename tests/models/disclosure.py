"""Explores every history of a small disclosure, day by day, over the real `evaluate`, and names what breaks.

The lab may consent and hold, the auditor may confirm the remediation, release what it may, or do nothing for ever;
holders in escrow release what is surely overdue. Nothing is sampled: a state is a day and the log so far. Nobody
states anything after the third day, which keeps the model small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from attestations.documents.base import validated
from attestations.policy.evaluate import Bounds, Seen, State, evaluate, permitted
from attestations.policy.model import Policy

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
LAST_DAY = 8  # a hold may move the last obligation over the weekend
LAST_CHOICE = 2
_CHOICES = (("LAB_CONSENT", "C2"), ("REMEDIATION_CONFIRMED", "C5"), ("HOLD", "1"), ("HOLD", "1"))

Pair = tuple[str, str]
HAZARD = ("C9", "PUBLIC")
PAIRS = (("C2", "PUBLIC"), ("C5", "PUBLIC"), HAZARD)
Log = tuple[tuple[str, str | None, int], ...]
Reading = Callable[[Sequence[Seen]], Sequence[Seen]]


def policy(*, task: dict[str, Any] | None = None, holders: bool = True) -> Policy:
    """Return figures for the public after a day or by consent, and tasks behind a gate that opens anyway."""
    escrow = {"escrow": ["trustee"]} if holders else {}
    tasks = {
        "permit": {"and": ["TIME(anchor+P2D+hold)", {"or": ["REMEDIATION_CONFIRMED(*)", "TIME(anchor+P3D+hold)"]}]},
        "oblige": "TIME(anchor+P4D+hold)",
    }
    rules = [
        {"id": "figures", "class": "C2", "to": "PUBLIC", **escrow}
        | {"permit": {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P1D+hold)"]}, "oblige": "TIME(anchor+P2D+hold)"},
        {"id": "tasks", "class": "C5", "to": "PUBLIC", **escrow} | tasks | (task or {}),
    ]
    return validated(Policy, {"anchor": "RUN_CLOSED", "maxHold": "P1BD", "rules": rules})


def as_logged(events: Sequence[Seen]) -> Sequence[Seen]:
    """Read the log as it is."""
    return events


def with_free_holds(events: Sequence[Seen]) -> Sequence[Seen]:
    """Wrong on purpose: count a hold as if it had been stated before everything else."""
    start = Bounds(MONDAY, MONDAY)
    holds = [Seen(event.name, event.argument, start) for event in events if event.name == "HOLD"]
    return [*holds, *(event for event in events if event.name != "HOLD")]


@dataclass(frozen=True)
class Breach:
    """An invariant that does not hold, and a history in which it does not."""

    invariant: str
    pair: Pair
    log: Log


@dataclass(frozen=True)
class Node:
    """One point of one history; `silent` is an auditor that will do nothing any more."""

    day: int
    log: Log
    silent: bool = False


@dataclass(frozen=True)
class View:
    """What the policy says at a node."""

    states: dict[Pair, State]
    permitted: frozenset[Pair]


@dataclass
class Model:
    """One policy, one reading of the log; a rule's holders in escrow do their part."""

    policy: Policy
    reading: Reading = as_logged
    views: dict[tuple[int, Log], View] = field(default_factory=dict)

    def breaches(self) -> Iterator[Breach]:
        """Yield breaches of I3, I4, I5, I7 and I8 (protocol study, 4.9) in every history."""
        waiting = [Node(0, (("RUN_CLOSED", None, 0), ("DELIVERED", None, 0)))]
        seen = set(waiting)
        while waiting:
            node = waiting.pop()
            yield from self._wrong(node)
            for following in self._next(node):
                lost = self._view(node).permitted - self._view(following).permitted
                yield from (Breach("I5", pair, following.log) for pair in lost)
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)

    def _next(self, node: Node) -> Iterator[Node]:
        day, log = node.day, node.log
        if day <= LAST_CHOICE:
            for choice in dict.fromkeys(_CHOICES):
                if sum(entry[:2] == choice for entry in log) < _CHOICES.count(choice):
                    yield replace(node, log=(*log, (*choice, day)))
        if not node.silent:
            yield replace(node, silent=True)
            released = self._all(day, log, State.PERMITTED, State.OVERDUE)
            if released:
                yield replace(node, log=(*log, *released))
        if day < LAST_DAY:
            overdue = self._all(day + 1, log, State.OVERDUE)
            cured = [entry for entry in overdue if self._has_holders(entry)]
            yield replace(node, day=day + 1, log=(*log, *cured))

    def _has_holders(self, entry: tuple[str, str | None, int]) -> bool:
        content_class, _, to = (entry[1] or "").partition(":")
        rule = self.policy.rule(content_class, to)
        return rule is not None and bool(rule.escrow)

    def _all(self, day: int, log: Log, *states: State) -> list[tuple[str, str | None, int]]:
        found = self._view(Node(day, log)).states
        return [_release(pair, day) for pair, state in found.items() if state in states]

    def _view(self, node: Node) -> View:
        key = (node.day, node.log)
        if key not in self.views:
            events, at = self.reading(_events(node.log)), _at(node.day)
            allowed = {
                (name, to)
                for name, to in PAIRS
                if permitted(self.policy, events, at, content_class=name, recipient=to) is State.PERMITTED
            }
            self.views[key] = View(evaluate(self.policy, events, at), frozenset(allowed))
        return self.views[key]

    def _wrong(self, node: Node) -> Iterator[Breach]:
        view, morning = self._view(node), self._view(replace(node, day=node.day + 1))
        for pair, state in morning.states.items():  # before the holders act
            if state is State.OVERDUE and pair not in morning.permitted:
                yield Breach("I3", pair, node.log)
        for pair, state in view.states.items():
            if state is State.RELEASED and pair not in view.permitted:
                yield Breach("I4", pair, node.log)
            if state is not State.RELEASED and node.day == LAST_DAY:
                yield Breach("I8", pair, node.log)
        if HAZARD in view.permitted:
            yield Breach("I7", HAZARD, node.log)


def _release(pair: Pair, day: int) -> tuple[str, str | None, int]:
    return "RELEASED", f"{pair[0]}:{pair[1]}", day


def _events(log: Log) -> list[Seen]:
    return [Seen(name, argument, _at(day)) for name, argument, day in log]


def _at(day: int) -> Bounds:
    moment = MONDAY + timedelta(days=day)
    return Bounds(moment, moment)
