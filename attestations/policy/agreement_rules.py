"""The linter's rules that need the whole agreement: holders, clauses and recipients' keys besides the policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from attestations.documents.agreement import Agreement, Party
from attestations.documents.base import parse_time
from attestations.errors import KeyUnacceptable
from attestations.keys import KeyUse
from attestations.policy.counterexample import Question, find
from attestations.policy.emergencies import wider_rules
from attestations.policy.finding import Finding
from attestations.policy.formula import CERTAIN_EVENTS, parse_duration
from attestations.policy.lint import comes, lint_policy
from attestations.policy.model import Policy, Rule
from attestations.policy.moments import Workdays
from attestations.policy.symbolic import Effort, TooLarge
from attestations.policy.terms import DAY, NEVER, Both, Source, Term, Terms, mapped, terms_of
from attestations.recipients import recipients_of

LONG_SEALED_DAYS = 365
_HOLDERS = ("escrow", "regulator")


def lint_agreement(agreement: Agreement) -> tuple[Finding, ...]:
    """Return every breach of `L1` to `L12` by the agreement, its policy included, in the order of the rules."""
    found = [
        *_policy(agreement),
        *_in_time(agreement),
        *_holders(agreement),
        *_protection(agreement),
        *_keys(agreement),
        *_no_veto(agreement),
        *_second_key(agreement),
    ]
    return tuple(sorted(found, key=lambda finding: int(finding.rule[1:])))


def _policy(agreement: Agreement) -> Iterator[Finding]:
    for finding in lint_policy(agreement.policy):
        # Where keys are in escrow, its branches serve rules that name no holder; `check_escrow` looks at these.
        if finding.rule != "L2" or agreement.escrow is None:
            yield finding


def _in_time(agreement: Agreement) -> Iterator[Finding]:
    policy, agreed = agreement.policy, parse_time(agreement.created_at)
    for rule in policy.rules:
        if comes(policy, rule) and not comes(policy, rule, agreed):
            yield Finding("L3", f"rule {rule.id} waits for a time more than ten years after the agreement", rule.id)


def sealed_for_long(policy: Policy) -> tuple[str, ...]:
    """Return the classes that some recipient may have to wait for longer than a year after delivery."""
    workdays = Workdays(frozenset(date.fromisoformat(day) for day in policy.calendar.holidays))
    effort = Effort()
    classes: dict[Terms, set[str]] = {}  # many rules wait for the same thing, and the search is the dear part
    for rule in policy.rules:
        permits = mapped(terms_of(policy, policy.permits(rule)), _unless_withheld)
        classes.setdefault(permits, set()).add(rule.content_class)
    late: set[str] = set()
    for permits, found in classes.items():
        if _waits_a_year(policy, permits, workdays, effort):
            late |= found
    return tuple(dict.fromkeys(rule.content_class for rule in policy.rules if rule.content_class in late))


def _waits_a_year(policy: Policy, permits: Terms, workdays: Workdays, effort: Effort) -> bool:
    delivered = Both((Term(Source(policy.anchor)), *(Term(Source(name)) for name in sorted(CERTAIN_EVENTS))))
    year = mapped(delivered, lambda term: Term(term.source, LONG_SEALED_DAYS * DAY))
    hold = parse_duration(policy.max_hold).business_days
    try:
        return find(Question(year, permits, (hold,)), workdays, effort) is not None
    except TooLarge:
        return True


def _unless_withheld(term: Term) -> Terms:
    return NEVER if isinstance(term.source, Source) and term.source.name not in CERTAIN_EVENTS else term


def _holders(agreement: Agreement) -> Iterator[Finding]:
    holders = {party.id: party.role for party in agreement.parties if party.role in _HOLDERS}
    branches = set() if agreement.escrow is None else {branch.id for branch in agreement.escrow.branches}
    for rule in agreement.policy.rules:
        for name in rule.escrow:
            if name not in holders and name not in branches:
                yield Finding("L2", f"rule {rule.id} names {name} as holder, who is no escrow party here", rule.id)
        named = {holders.get(name) for name in rule.escrow}
        if named == {"regulator"}:
            yield Finding("L2", f"rule {rule.id} has no holder but a regulator, who opens nothing alone", rule.id)


def _protection(agreement: Agreement) -> Iterator[Finding]:
    if not agreement.clauses.no_gag:
        yield Finding("L5", "the no-gag clause is missing")
    if not agreement.clauses.safe_harbor:
        yield Finding("L5", "the safe-harbour clause is missing")


def _keys(agreement: Agreement) -> Iterator[Finding]:
    policy = agreement.policy
    long = sealed_for_long(policy)
    needed: dict[str, tuple[Party, Rule]] = {}
    for rule in policy.rules:
        if rule.content_class not in long:
            continue
        holders = [party for party in agreement.parties if party.id in rule.escrow]
        for party in (*recipients_of(agreement, rule.to), *holders):
            needed.setdefault(party.id, (party, rule))
    for party, rule in needed.values():
        try:
            party.key(KeyUse.RECEIVE)
        except KeyUnacceptable:
            yield Finding(
                "L7",
                f"{rule.content_class} may stay sealed for over a year, but {party.id} has no hybrid post-quantum key",
                rule.id,
            )


def _no_veto(agreement: Agreement) -> Iterator[Finding]:
    if agreement.clauses.publication_control == "approval":
        yield Finding("L10", "publication needs the lab's approval, which is a veto")


def _second_key(agreement: Agreement) -> Iterator[Finding]:
    roles = {party.role for party in agreement.parties}
    if "REGULATOR" in agreement.policy.emergencies().two_key and "regulator" not in roles:
        for rule in wider_rules(agreement.policy):
            yield Finding("L11", f"rule {rule.id} waits for a regulator's key, and the agreement names none", rule.id)
