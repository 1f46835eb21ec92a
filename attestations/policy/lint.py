"""The rules a policy must keep before anyone signs it; each refusal names its rule (`docs/spec/policy.md`).

L1 compares times symbolically. A formula becomes true at a time made of minima and maxima of terms
`event time + span`. With the permission as a maximum of minima and the obligation as a minimum of maxima,
"obliged implies permitted, whatever happens" holds exactly when every pair of a permission's minimum and an
obligation's maximum shares an event whose span in the permission is not longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import product

from attestations.errors import PolicyUnsatisfiable
from attestations.policy.formula import (
    CERTAIN_EVENTS,
    After,
    AllOf,
    AnyOf,
    Duration,
    Event,
    Formula,
    parse_duration,
)
from attestations.policy.model import Policy, Rule

_VETO_ALLOWED = ("C9", "C10")  # hazards and lab-confidential material may wait for an order for ever
_DAY = 86_400
_MAX_TERMS = 4096


@dataclass(frozen=True)
class _Term:
    base: tuple[str, str | None] | datetime
    shortest: int  # seconds, over every calendar and hold
    longest: int
    exact: tuple[Duration, bool]


def lint(policy: Policy) -> None:
    """Raise `PolicyUnsatisfiable` naming the first rule (`L1`, `L3`, `L4`, `L6`, `L9`) the policy breaks."""
    for rule in policy.rules:
        _obliged_is_permitted(policy, rule)
        _no_endless_veto(policy, rule)
        _no_public_hazard(rule)
    _bounded_hold(policy)
    _commitments_first(policy)


def _obliged_is_permitted(policy: Policy, rule: Rule) -> None:
    obliges = rule.obliges()
    if obliges is None:
        return
    for maximum in _disjuncts(policy, obliges):
        for minimum in _conjuncts(policy, rule.permits()):
            if not any(_not_later(early, late) for early in minimum for late in maximum):
                raise PolicyUnsatisfiable(f"rule {rule.id} obliges before it permits", rule="L1", policy_rule=rule.id)


def _no_endless_veto(policy: Policy, rule: Rule) -> None:
    if rule.content_class in _VETO_ALLOWED:
        return
    for minimum in _conjuncts(policy, rule.permits()):
        if not any(isinstance(term.base, datetime) or term.base[0] in CERTAIN_EVENTS for term in minimum):
            raise PolicyUnsatisfiable(
                f"rule {rule.id} can be blocked for ever: give it a latest time", rule="L3", policy_rule=rule.id
            )


def _no_public_hazard(rule: Rule) -> None:
    if rule.content_class == "C9" and rule.to in ("PUBLIC", "LAB_ALL"):
        raise PolicyUnsatisfiable(f"rule {rule.id} gives hazards to {rule.to}", rule="L4", policy_rule=rule.id)


def _bounded_hold(policy: Policy) -> None:
    hold = parse_duration(policy.max_hold)
    if hold.days or hold.seconds:
        raise PolicyUnsatisfiable("maxHold is counted in business days", rule="L6")


def _commitments_first(policy: Policy) -> None:
    # Aggregates for the public before the commitments they rest on could be fitted to them.
    aggregate, commitments = policy.rule("C2", "PUBLIC"), policy.rule("C1", "PUBLIC")
    if aggregate is None:
        return
    if commitments is None:
        raise PolicyUnsatisfiable("C2 is for PUBLIC but C1 never is", rule="L9", policy_rule=aggregate.id)
    for maximum in _disjuncts(policy, aggregate.permits()):
        for minimum in _conjuncts(policy, commitments.permits()):
            if not any(_not_later(early, late) for early in minimum for late in maximum):
                raise PolicyUnsatisfiable("C2 may be public before C1 is", rule="L9", policy_rule=aggregate.id)


def _conjuncts(policy: Policy, formula: Formula) -> list[frozenset[_Term]]:
    """The formula's time as a maximum of minima."""
    return _normal(policy, formula, outer=AllOf)


def _disjuncts(policy: Policy, formula: Formula) -> list[frozenset[_Term]]:
    """The formula's time as a minimum of maxima."""
    return _normal(policy, formula, outer=AnyOf)


def _normal(policy: Policy, formula: Formula, *, outer: type[AllOf | AnyOf]) -> list[frozenset[_Term]]:
    if isinstance(formula, (Event, After)):
        return [frozenset({_term(policy, formula)})]
    parts = [_normal(policy, part, outer=outer) for part in formula.parts]
    if isinstance(formula, outer):
        return [group for part in parts for group in part]
    size = 1
    for part in parts:
        size *= len(part)
        if size > _MAX_TERMS:
            raise PolicyUnsatisfiable("a formula is too large to be checked", rule="L1")
    return [frozenset().union(*choice) for choice in product(*parts)]


def _term(policy: Policy, atom: Event | After) -> _Term:
    if isinstance(atom, Event):
        return _Term((atom.name, atom.argument), 0, 0, (Duration(), False))
    base: tuple[str, str | None] | datetime
    if isinstance(atom.base, datetime):
        base = atom.base
    else:
        event = atom.base or Event(policy.anchor, None)
        base = (event.name, event.argument)
    shortest, longest = _span(policy, atom.duration)
    if atom.hold:
        longest += _span(policy, parse_duration(policy.max_hold))[1]
    return _Term(base, shortest, longest, (atom.duration, atom.hold))


def _span(policy: Policy, duration: Duration) -> tuple[int, int]:
    plain = duration.days * _DAY + duration.seconds
    if not duration.business_days:
        return plain, plain
    weekends = 2 * (duration.business_days // 5 + 1)
    longest = duration.business_days + weekends + len(policy.calendar.holidays)
    return plain + duration.business_days * _DAY, plain + longest * _DAY


def _not_later(early: _Term, late: _Term) -> bool:
    if early.base != late.base:
        if isinstance(early.base, datetime) and isinstance(late.base, datetime):
            return early.base.timestamp() + early.longest <= late.base.timestamp() + late.shortest
        return False
    (first, first_hold), (second, second_hold) = early.exact, late.exact
    same_unit = bool(first.business_days) == bool(second.business_days)
    shorter = (first.business_days, first.days, first.seconds) <= (
        second.business_days,
        second.days,
        second.seconds,
    )
    if same_unit and shorter and _only_one_unit(first, second) and (second_hold or not first_hold):
        return True
    return early.longest <= late.shortest


def _only_one_unit(*durations: Duration) -> bool:
    return all(not item.business_days or not (item.days or item.seconds) for item in durations) and (
        sum(any(getattr(item, unit) for item in durations) for unit in ("business_days", "days", "seconds")) <= 1
    )
