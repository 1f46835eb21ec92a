"""Whether holders may release on a regulator's order: one pure function for holders and whoever reads what they did."""

from __future__ import annotations

from datetime import datetime, timedelta

from attestations.documents.base import parse_time
from attestations.errors import (
    DisclosureEarly,
    DisclosureForbidden,
    EvidenceMissing,
    OrderInvalid,
    OrderOutOfScope,
)
from attestations.escrow.dealing import branches_for
from attestations.escrow.structure import Branch
from attestations.ledger import Ledger, LoggedOrder
from attestations.policy.evaluate import Bounds, State, permitted
from attestations.policy.model import Rule


def find_order(ledger: Ledger, order: str, *, whole: bool = True) -> LoggedOrder:
    """Return an order of the log that counts.

    Args:
        ledger: of the log.
        order: the digest of the signed order.
        whole: whether the log holds all that those who rest on the order saw.

    Raises:
        OrderInvalid, OrderOutOfScope: it stands in the log and counts for nothing, or does not stand there.
        EvidenceMissing: it may stand in the part of the log that is not here.
    """
    found = ledger.orders.get(order)
    if found is not None:
        return found
    refused = next((breach.error for breach in ledger.breaches if breach.document == order), None)
    if refused is not None:
        raise refused
    if not whole:
        raise EvidenceMissing("the order that an escrow release rests on is not in this part of the log")
    raise OrderInvalid("the order that an escrow release rests on is not in the log", order=order)


def check_ordered(ledger: Ledger, order: LoggedOrder, rule: Rule, at: datetime, skew: timedelta) -> None:
    """Check that an order lets holders release what a rule is about, at `at` as they tell it.

    Args:
        ledger: of the log; what surely came later than `at` is left aside.
        order: one that counts.
        rule: of the policy in force.
        at: when they released.
        skew: how far their clock may be out; they are blamed only for what is sure.

    Raises:
        OrderOutOfScope: the order is not about this class and recipient.
        OrderInvalid: it had surely expired.
        DisclosureEarly: the order was surely not in the log yet, or the policy wants more than it.
        EvidenceMissing: whether it was early lies within the skew.
    """
    document, place = order.document, (rule.content_class, rule.to)
    facts = {"order": document.id, "content_class": place[0], "recipient": place[1]}
    if place[0] not in document.classes or place[1] not in document.to:
        raise OrderOutOfScope(f"the order does not give {place[0]} to {place[1]}", **facts)
    if at - skew > parse_time(document.expires_at):
        raise OrderInvalid(f"holders released after the order expired at {document.expires_at}", **facts)
    known = [event for event in ledger.events if event.at.lower <= at]
    now = Bounds(at - skew, at + skew)
    state = permitted(ledger.agreement.policy, known, now, content_class=place[0], recipient=place[1])
    if state is State.FORBIDDEN or order.at.lower > at:
        raise DisclosureEarly(f"{place[0]} was released from escrow before the order permitted it", **facts)
    if state is State.INDETERMINATE or order.at.upper > at + skew:
        raise EvidenceMissing("whether holders released before the order lies within the clock skew", **facts)


def ordered_branches(
    ledger: Ledger, rule_id: str, content_class: str, order: str, at: datetime
) -> tuple[Rule, tuple[Branch, ...], str]:
    """Return the rule, the branches by which a holder may release on an order now, and the order's digest.

    Args:
        ledger: of the log the holder is shown.
        rule_id: the rule that waits for the order.
        content_class: what is ordered.
        order: the digest of the signed order, or its name in the log if only one has it.
        at: the holder's time.

    Raises:
        DisclosureForbidden: the rule is not about this class, or no branch opens for orders.
        OrderInvalid, OrderOutOfScope, DisclosureEarly, EvidenceMissing: as `find_order` and `check_ordered` say.
    """
    agreement, facts = ledger.agreement, {"rule": rule_id, "content_class": content_class}
    rule = next((rule for rule in agreement.policy.rules if rule.id == rule_id), None)
    if agreement.escrow is None:
        raise DisclosureForbidden("the agreement puts nothing in escrow", **facts)
    if rule is None or rule.content_class != content_class:
        raise DisclosureForbidden(f"no rule {rule_id} is about {content_class}", **facts)
    digest = _digest(ledger, order)
    check_ordered(ledger, find_order(ledger, digest), rule, at, timedelta(0))
    branches = tuple(branch for branch in branches_for(agreement.escrow, rule) if "order" in branch.opens)
    if not branches:
        raise DisclosureForbidden("no branch of the escrow opens on an order", **facts)
    return rule, branches, digest


def _digest(ledger: Ledger, order: str) -> str:
    named = [digest for digest, logged in ledger.orders.items() if logged.document.id == order]
    if len(named) > 1:
        raise OrderInvalid("two orders of this name stand in the log; name one by its digest", order=order)
    return named[0] if named else order
