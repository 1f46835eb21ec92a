"""The rules a policy must keep before anyone signs it; each breach names its rule (`docs/spec/policy.md`).

Every rule is decided exactly. `symbolic` proves what is plain; `counterexample` searches the rest completely.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from attestations.policy.counterexample import Counterexample, Question, find
from attestations.policy.emergencies import dead_emergencies
from attestations.policy.finding import Finding, refuse
from attestations.policy.formula import CERTAIN_EVENTS, Duration, parse_duration
from attestations.policy.model import ALWAYS_TOLD, UNSEALED, Policy, Rule
from attestations.policy.moments import Workdays
from attestations.policy.profile import exceeds_profile
from attestations.policy.symbolic import Effort, TooLarge, implies
from attestations.policy.terms import Both, Source, Term, Terms, holds, terms_of

LONGEST_REVIEW = Duration(business_days=30)
LONGEST_EMERGENCY_REVIEW = Duration(business_days=10)
LONGEST_SEALED = timedelta(days=3652)  # ten years: later than that is never, for whoever waits
_VETO_ALLOWED = ("C9", "C10")  # hazards and lab-confidential material may wait for an order for ever
_NEVER_RELEASED = ("C10",)  # the lab's material is shown with tasks and transcripts or not at all
_TOO_MANY = ("PUBLIC", "LAB_ALL")


def lint(policy: Policy) -> None:
    """Raise the first breach.

    Raises:
        PolicyUnsatisfiable: the facts name the rule (`L1` to `L12`) and the policy's rule.
    """
    refuse(lint_policy(policy))


def lint_policy(policy: Policy) -> tuple[Finding, ...]:
    """Return every breach of a rule that can be judged from the policy alone, in the order of the rules."""
    proof = Proof(policy)
    found = [
        *(finding for rule in policy.rules for finding in _rule(policy, rule, proof)),
        *_bounded_hold(policy),
        *_commitments_first(policy, proof),
        *_emergency(policy),
        *_bounded_review(policy),
        *dead_emergencies(policy),
    ]
    return tuple(sorted(found, key=lambda finding: int(finding.rule[1:])))


class Proof:
    """Decides implications between the formulas of one policy."""

    def __init__(self, policy: Policy, effort: Effort | None = None) -> None:
        self._workdays = Workdays(frozenset(date.fromisoformat(day) for day in policy.calendar.holidays))
        self._effort = effort or Effort()
        self._holds = range(parse_duration(policy.max_hold).business_days + 1)

    def refute(self, later: Terms, earlier: Terms, *, in_log_order: bool = False) -> Counterexample | None:
        """Return a history in which `later` holds and `earlier` does not, or None when there is none.

        Raises:
            TooLarge: the formulas are too large to be looked at.
        """
        if implies(later, earlier, in_log_order=in_log_order, effort=self._effort):
            return None
        return find(Question(later, earlier, self._holds, in_log_order), self._workdays, self._effort)


def _rule(policy: Policy, rule: Rule, proof: Proof) -> Iterator[Finding]:
    permits = terms_of(policy, policy.permits(rule))
    yield from _obliged_is_permitted(policy, rule, permits, proof)
    if rule.oblige is not None and not rule.escrow and policy.escrow is None and rule.content_class not in UNSEALED:
        yield Finding("L2", f"rule {rule.id} obliges, but nobody in escrow can release in the auditor's place", rule.id)
    if rule.oblige is not None and rule.content_class in _NEVER_RELEASED:
        yield Finding("L12", f"rule {rule.id} obliges {rule.content_class}, which nothing here can release", rule.id)
    if not comes(policy, rule):
        yield Finding("L3", f"rule {rule.id} can be blocked for ever, or for ten years: give it a latest time", rule.id)
    if rule.content_class == "C9" and rule.to in _TOO_MANY:
        yield Finding("L4", f"rule {rule.id} gives hazards to {rule.to}", rule.id)
    try:
        reason = exceeds_profile(policy, rule, proof.refute)
    except TooLarge:
        reason = f"rule {rule.id} is too large to be checked"
    if reason is not None:
        yield Finding("L8", reason, rule.id)


def _obliged_is_permitted(policy: Policy, rule: Rule, permits: Terms, proof: Proof) -> Iterator[Finding]:
    obliges = rule.obliges()
    if obliges is None:
        return
    try:
        found = proof.refute(terms_of(policy, obliges), permits)
    except TooLarge:
        yield Finding("L1", f"rule {rule.id} is too large to be checked", rule.id)
        return
    if found is not None:
        yield Finding("L1", f"rule {rule.id} obliges before it permits, as with {found}", rule.id)


def comes(policy: Policy, rule: Rule, agreed: datetime | None = None) -> bool:
    """Tell whether a permission comes for certain, and within ten years, with every hold that may be stated.

    Args:
        policy: holds the rule.
        rule: what is looked at; hazards and lab-confidential material may wait for ever.
        agreed: from when fixed instants are counted; without it any instant will do.
    """
    held = parse_duration(policy.max_hold).business_days

    def true(term: Term) -> bool:
        business_days = term.business_days + (held if term.hold else 0)
        wait = timedelta(seconds=term.seconds, days=business_days * 7 / 5)
        if isinstance(term.source, Source):
            return term.source.name in CERTAIN_EVENTS and wait <= LONGEST_SEALED
        return wait <= LONGEST_SEALED and (agreed is None or term.source <= agreed + LONGEST_SEALED)

    return rule.content_class in _VETO_ALLOWED or holds(terms_of(policy, policy.permits(rule)), true)


def _bounded_hold(policy: Policy) -> Iterator[Finding]:
    hold = parse_duration(policy.max_hold)
    if hold.days or hold.seconds:
        yield Finding("L6", "maxHold is counted in business days")


def _commitments_first(policy: Policy, proof: Proof) -> Iterator[Finding]:
    # Aggregates for the public before the commitments they rest on could be fitted to them.
    aggregate, commitments = policy.rule("C2", "PUBLIC"), policy.rule("C1", "PUBLIC")
    if aggregate is None or commitments is None:
        return
    # Nothing sealed is released before it is delivered, and a log delivers after the run has closed.
    public = Both((terms_of(policy, policy.permits(aggregate)), Term(Source("DELIVERED"))))
    try:
        found = proof.refute(public, terms_of(policy, commitments.permits()), in_log_order=True)
    except TooLarge:
        yield Finding("L9", "the rules for C1 and C2 are too large to be checked", aggregate.id)
        return
    if found is not None:
        yield Finding("L9", f"C2 may be public before C1 is, as with {found}", aggregate.id)


def _emergency(policy: Policy) -> Iterator[Finding]:
    emergency = policy.emergency
    if emergency is None:
        return
    hazards = any(name.startswith("C9") for name in emergency.classes)
    for recipient in emergency.to:
        if recipient == "PUBLIC" or (hazards and recipient not in ALWAYS_TOLD):
            yield Finding("L4", f"the emergency path leads to {recipient} with a single key")
    if "AUDITOR" not in emergency.initiators or not {"LAB_SAFETY", "REGULATOR"} <= set(emergency.to):
        yield Finding("L5", "the auditor alone cannot warn the regulator and the lab's safety team in an emergency")
    if _longer(emergency.review, LONGEST_EMERGENCY_REVIEW):
        yield Finding("L10", "the review after an emergency takes longer than 10 business days")


def _bounded_review(policy: Policy) -> Iterator[Finding]:
    if policy.min_review is not None and _longer(policy.min_review, LONGEST_REVIEW):
        yield Finding("L10", "the lab's review takes longer than 30 business days")


def _longer(text: str, bound: Duration) -> bool:
    # In the shortest calendar: business days alone, days that may all be business days otherwise.
    given = parse_duration(text)
    if given.business_days:
        return given.business_days > bound.business_days
    return given.days * 86_400 + given.seconds > bound.business_days * 86_400
