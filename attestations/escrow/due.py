"""Whether a holder may release: one pure function for holders, whoever combines, and the verifier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from attestations.documents.agreement import Agreement
from attestations.errors import DisclosureForbidden
from attestations.escrow.dealing import branches_for
from attestations.escrow.structure import Branch
from attestations.policy.evaluate import Bounds, Seen, State, evaluate
from attestations.policy.model import Rule


class Due(StrEnum):
    """How an obligation stands at an instant, as far as a branch of the escrow is concerned."""

    DUE = "due"
    RELEASED = "released"
    UNSURE = "unsure"  # due or not, within the tolerated skew
    NOT_DUE = "not due"


def standing(agreement: Agreement, rule: Rule, branch: Branch, events: Sequence[Seen], at: datetime) -> Due:
    """Return how a rule stands at `at`: DUE only when it is surely overdue for the branch's days of grace.

    Args:
        agreement: holds the policy and the tolerated skew.
        rule: the obligation.
        branch: one that serves it.
        events: the verified events of the log; what surely came later than `at` is left aside.
        at: the instant to judge at.
    """
    known = [event for event in events if event.at.lower <= at]
    place = (rule.content_class, rule.to)
    then = at - timedelta(days=branch.grace_days)
    if evaluate(agreement.policy, known, Bounds(at, at)).get(place) is State.RELEASED:
        return Due.RELEASED
    if evaluate(agreement.policy, known, Bounds(then, then)).get(place) is State.OVERDUE:
        return Due.DUE
    later = then + 2 * timedelta(seconds=agreement.timing.skew_seconds)
    if evaluate(agreement.policy, known, Bounds(later, later)).get(place) is State.OVERDUE:
        return Due.UNSURE
    return Due.NOT_DUE


def due_branches(
    agreement: Agreement, rule_id: str, content_class: str, events: Sequence[Seen], at: datetime
) -> tuple[Rule, tuple[Branch, ...]]:
    """Return the rule and the branches by which a holder may release now.

    Raises:
        DisclosureForbidden: there is no such obligation, it has been met, or it is not surely overdue.
    """
    facts = {"rule": rule_id, "content_class": content_class}
    rule = next((rule for rule in agreement.policy.rules if rule.id == rule_id), None)
    if agreement.escrow is None:
        raise DisclosureForbidden("the agreement puts nothing in escrow", **facts)
    if rule is None or rule.content_class != content_class or rule.oblige is None:
        others = [rule.id for rule in agreement.policy.rules if rule.content_class == content_class and rule.oblige]
        instead = f"; rules that do: {', '.join(others)}" if others else ""
        raise DisclosureForbidden(f"no rule {rule_id} obliges anybody to release {content_class}{instead}", **facts)
    served = [branch for branch in branches_for(agreement.escrow, rule) if "overdue" in branch.opens]
    found = {branch: standing(agreement, rule, branch, events, at) for branch in served}
    if Due.RELEASED in found.values():
        raise DisclosureForbidden(f"{content_class} has been released to {rule.to}", **facts)
    due = tuple(branch for branch, state in found.items() if state is Due.DUE)
    if not due:
        raise DisclosureForbidden(f"{content_class} to {rule.to} is not surely overdue at that time", **facts)
    return rule, due
