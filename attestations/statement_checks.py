"""The conditions under which each statement counts; each refusal has its own error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attestations.documents.agreement import Agreement, Party
from attestations.documents.base import parse_time
from attestations.documents.disclosing import Correction, EmergencyNotice, Order, RecallRequest, Redaction, Verdict
from attestations.documents.engagement import Release
from attestations.documents.finding import CONTENT_CLASS, FindingNotice
from attestations.errors import (
    AttributionFailed,
    DisclosureEarly,
    EmergencyQuorumUnmet,
    EmergencyScopeExceeded,
    HoldLimitExceeded,
    HoldTooLate,
    OrderInvalid,
    OrderOutOfScope,
    PhaseViolation,
    RecipientNotPermitted,
    RedactionNotAllowed,
)
from attestations.policy.evaluate import Bounds, State
from attestations.policy.formula import After, Event, atoms, parse_duration
from attestations.policy.model import Policy, Rule
from attestations.recipients import recipients_of
from attestations.states import Holding

# What each role may keep closed. What is the auditor's own, it closes in its releases; nobody closes C2.
REDACTION_RIGHTS: Mapping[str, frozenset[str]] = {
    "lab": frozenset({"C10"}),
    "regulator": frozenset({"C9"}),
    "auditor": frozenset({"C3", "C5", "C6", "C7", "C8", "C9"}),
}
_ROLES: Mapping[str, str] = {"AUDITOR": "auditor", "LAB_SAFETY": "lab", "REGULATOR": "regulator"}
_HAZARD_TO_ALL = ("PUBLIC", "LAB_ALL")


def hold_limit(policy: Policy) -> int:
    """Return how many business days all holds together may take."""
    return parse_duration(policy.max_hold).business_days


def delayed_rules(policy: Policy) -> list[Rule]:
    """Return the rules whose permission a hold delays."""
    return [rule for rule in policy.rules if any(isinstance(a, After) and a.hold for a in atoms(policy.permits(rule)))]


def scope_of(classes: Iterable[str], to: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return every (class, recipient) of two lists."""
    return frozenset((content_class, recipient) for content_class in classes for recipient in to)


def check_hold(days: int, holding: Holding, held: int, limit: int) -> None:
    """Refuse a hold that comes when nothing is left to delay, or that asks for too much.

    Raises:
        HoldTooLate, HoldLimitExceeded.
    """
    if holding is Holding.CLOSED:
        raise HoldTooLate("a hold was stated when everything it could delay is already permitted")
    if holding is Holding.SPENT or held + days > limit:
        raise HoldLimitExceeded(
            f"a hold of {days} business days, of which {limit - held} are left", days=str(days), left=str(limit - held)
        )


def check_order(order: Order, policy: Policy, at: Bounds) -> None:
    """Refuse an order without legal basis or time, or for what the policy waits for no order.

    Raises:
        OrderInvalid, OrderOutOfScope.
    """
    issued, expires = parse_time(order.issued_at), parse_time(order.expires_at)
    if not order.legal_basis.strip():
        raise OrderInvalid("an order names no legal basis", order=order.id)
    if expires <= issued or issued > at.upper:
        raise OrderInvalid("an order expires before it is issued, or is of the future", order=order.id)
    if at.lower > expires:
        raise OrderInvalid(f"the order expired at {order.expires_at}", order=order.id)
    for content_class, recipient in sorted(scope_of(order.classes, order.to)):
        if not _waits_for(policy, content_class, recipient, "ORDER", order.id):
            raise OrderOutOfScope(
                f"the policy lets no order give {content_class} to {recipient}",
                order=order.id,
                content_class=content_class,
                recipient=recipient,
            )


def check_emergency(notice: EmergencyNotice, roles: frozenset[str], policy: Policy, at: Bounds) -> None:
    """Let an initiator of the policy tell at once whom and what it names; hold all else to its keys, items and a time.

    Raises:
        AttributionFailed: nobody who signed may raise an emergency.
        EmergencyScopeExceeded: the policy lets no emergency reach so far, or it names no items or no end, or has ended.
        EmergencyQuorumUnmet: it reaches further than one key may, and the others have not signed.
    """
    agreed = policy.emergencies()
    facts = {"emergency": notice.id}
    if not roles & {_ROLES[name] for name in agreed.initiators}:
        raise AttributionFailed(f"the policy lets no {' or '.join(sorted(roles))} raise an emergency", **facts)
    classes = sorted({item.content_class for item in notice.items})
    for recipient in notice.to:
        if not agreed.reaches(recipient):
            raise EmergencyScopeExceeded(f"an emergency never releases to {recipient}", recipient=recipient, **facts)
    wider = sorted(
        (name, recipient) for recipient in notice.to for name in classes if not agreed.told_at_once(name, recipient)
    )
    strangers = [recipient for recipient in notice.to if not agreed.told_at_once(None, recipient)]
    if not wider and not strangers:
        return
    for content_class, recipient in wider:
        if not agreed.two_key or not _waits_for(policy, content_class, recipient, "EMERGENCY", notice.id):
            raise EmergencyScopeExceeded(
                f"the policy lets no emergency give {content_class} to {recipient}",
                content_class=content_class,
                recipient=recipient,
                **facts,
            )
    if not agreed.two_key:
        raise EmergencyScopeExceeded(f"the policy lets no emergency reach {strangers[0]}", **facts)
    needed = {_ROLES[name] for name in agreed.two_key}
    if not roles >= needed:
        raise EmergencyQuorumUnmet(
            f"an emergency that reaches so far needs the keys of {' and '.join(sorted(needed))}", **facts
        )
    if not notice.items or notice.expires_at is None:
        raise EmergencyScopeExceeded("a wider emergency release names its items and its end", **facts)
    if at.lower > parse_time(notice.expires_at):
        raise EmergencyScopeExceeded(f"the emergency ended at {notice.expires_at}", **facts)


def check_redaction(redaction: Redaction, roles: frozenset[str]) -> None:
    """Refuse a redaction of what is not the stating party's.

    Raises:
        RedactionNotAllowed.
    """
    for role in roles:
        check_right(role, redaction.content_class)


def check_right(role: str, content_class: str) -> None:
    """Refuse a role that may not keep a class closed.

    Raises:
        RedactionNotAllowed.
    """
    if content_class not in REDACTION_RIGHTS.get(role, frozenset()):
        raise RedactionNotAllowed(
            f"the {role} may not keep {content_class} closed", role=role, content_class=content_class
        )


def check_verdict(verdict: Verdict, parties: Sequence[Party], agreement: Agreement, release: Release | None) -> None:
    """Refuse a verdict on nothing, or by somebody who is no recipient of it.

    Raises:
        AttributionFailed, RecipientNotPermitted.
    """
    if release is None:
        raise AttributionFailed("a verdict on a release that is not in the log", release=verdict.release)
    if release.recipient == "PUBLIC":
        return
    meant = {party.id for party in recipients_of(agreement, release.recipient)}
    if not {party.id for party in parties} <= meant:
        raise RecipientNotPermitted("a verdict by somebody the release was not for", recipient=release.recipient)


def check_recall(recall: RecallRequest, release: Release | None) -> None:
    """Refuse a plea about nothing.

    Raises:
        AttributionFailed.
    """
    if release is None:
        raise AttributionFailed("a recall of a release that is not in the log", release=recall.release)


def check_correction(correction: Correction) -> None:
    """Refuse a correction that says nothing, or that puts a document in its own place.

    Raises:
        AttributionFailed.
    """
    if not correction.text.strip() or correction.by == correction.corrects:
        raise AttributionFailed("a correction corrects nothing", corrects=correction.corrects)


def check_finding(
    notice: FindingNotice, policy: Policy, permission: Callable[[str], State], earlier: Iterable[FindingNotice]
) -> None:
    """Refuse a finding for somebody who may not have it, or not yet, or under the name of another one.

    Raises:
        RecipientNotPermitted, DisclosureEarly, AttributionFailed.
    """
    for recipient in notice.to:
        facts = {"finding": notice.id, "content_class": CONTENT_CLASS, "recipient": recipient}
        if policy.rule(CONTENT_CLASS, recipient) is None:
            raise RecipientNotPermitted(f"no rule lets {recipient} have findings (C4)", **facts)
        if permission(recipient) is State.FORBIDDEN:
            raise DisclosureEarly(f"a finding was given to {recipient} before the policy permits it", **facts)
    if any(other.id == notice.id and other.report != notice.report for other in earlier):
        raise AttributionFailed("two findings have one name: a second report has a name of its own", finding=notice.id)


def check_abort(*, delivered: bool, aborted: bool) -> None:
    """Refuse to give up what is already delivered.

    Raises:
        PhaseViolation.
    """
    if delivered:
        raise PhaseViolation("the packages are delivered: there is nothing left to give up", state="PACKAGED")
    if aborted:
        raise PhaseViolation("the engagement is given up already", state="ABORTED")


def _waits_for(policy: Policy, content_class: str, recipient: str, name: str, argument: str) -> bool:
    if content_class == "C9" and recipient in _HAZARD_TO_ALL:
        return False
    rule = policy.rule(content_class, recipient)
    return rule is not None and any(
        isinstance(atom, Event) and atom.name == name and atom.argument in (None, "*", argument)
        for atom in atoms(policy.permits(rule))
    )
