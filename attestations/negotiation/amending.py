"""What an amendment may change: the same answer for both sides before they sign and for every verifier after.

An amendment is a whole agreement that supersedes the one in force. It may change who may learn what and when, the
clauses, budget, access, scope and deadlines; who the parties are, their keys, the model and the log stay.
"""

from __future__ import annotations

from typing import Any

from attestations.documents.agreement import Agreement, Party
from attestations.errors import (
    AgreementDigestMismatch,
    AmendmentRetroactive,
    ProtectedClauseViolation,
    SizeLimitExceeded,
)
from attestations.negotiation.happened import Happened
from attestations.negotiation.thread import InForce
from attestations.policy.evaluate import Bounds, State, evaluate, permitted
from attestations.policy.model import Policy
from attestations.recipients import recipients_of

MAX_AMENDMENT_BYTES = 40_000  # with its signatures it has to fit into one leaf of the log
MAY_CHANGE = frozenset({"policy", "clauses", "budget", "access", "scope", "timing", "createdAt", "supersedes"})
_SIDES = ("lab", "auditor")
_SHARED = ("anchor", "calendar", "maxHold", "minReview")  # what the times of every rule rest on


def check_amendment(
    in_force: InForce,
    after: Agreement,
    *,
    consenting: frozenset[str],
    happened: Happened | None,
    at: Bounds,
) -> None:
    """Refuse an amendment that nobody may make.

    Args:
        in_force: the agreement it supersedes.
        after: the amendment.
        consenting: the parties besides lab and auditor that have signed it.
        happened: what the log holds; None leaves out what depends on it.
        at: the bounds of the instant it is judged at.

    Raises:
        AgreementDigestMismatch: it supersedes another agreement.
        ProtectedClauseViolation: it changes what never changes, or a protected rule whose beneficiary has not signed.
        AmendmentRetroactive: it forbids what was released, pushes what is overdue, or undercuts what was used.
        SizeLimitExceeded: it does not fit into a leaf of the log.
    """
    before = in_force.agreement
    if after.supersedes != in_force.digest:
        raise AgreementDigestMismatch("an amendment supersedes the agreement in force", field="supersedes")
    if len(after.to_bytes()) > MAX_AMENDMENT_BYTES:
        raise SizeLimitExceeded("an amendment is smaller than 40,000 bytes", document="Agreement")
    _check_fixed(before.json_value(), after.json_value())
    _check_protected(before, after, consenting)
    if happened is not None:
        _check_released(after.policy, happened, at)
        _check_overdue(before.policy, after.policy, happened, at)
        _check_used(after, happened)


def _check_fixed(before: dict[str, Any], after: dict[str, Any]) -> None:
    for field in sorted(before.keys() | after.keys()):
        if field not in MAY_CHANGE and before.get(field) != after.get(field):
            raise ProtectedClauseViolation(f"{field} stays as it was first agreed", field=field)
    for field in ("skewSeconds", "relaySeconds"):
        # Times that are signed already are read with them.
        if before["timing"].get(field) != after["timing"].get(field):
            raise ProtectedClauseViolation(f"timing.{field} stays as it was first agreed", field=f"timing.{field}")


def _check_protected(before: Agreement, after: Agreement, consenting: frozenset[str]) -> None:
    old, new = _by_name(before), _by_name(after)
    shared = _shared(before.policy) == _shared(after.policy)
    for name in before.policy.protected:
        same = name in after.policy.protected and old.get(name) == new.get(name)
        if same and (shared or not any(rule.id == name for rule in before.policy.rules)):
            continue
        beneficiaries = _beneficiaries(before, name)
        missing = sorted(party.id for party in beneficiaries if party.role not in _SIDES and party.id not in consenting)
        if missing or not beneficiaries:
            who = ", ".join(missing) or "nobody who could sign for it"
            raise ProtectedClauseViolation(f"the protected {name} is changed without {who}", rule=name)


def _beneficiaries(agreement: Agreement, name: str) -> tuple[Party, ...]:
    # A clause that is no rule protects everyone the agreement names; lab and auditor sign in any case.
    rule = next((rule for rule in agreement.policy.rules if rule.id == name), None)
    return agreement.parties if rule is None else recipients_of(agreement, rule.to)


def _by_name(agreement: Agreement) -> dict[str, Any]:
    # Rules by their id, clauses by their name in lower case (`nogag`); a rule named like a clause comes first.
    clauses = {name.lower(): value for name, value in agreement.clauses.json_value().items()}
    # Whom the auditor may warn alone, whatever else is agreed, is half of what no gag promises (L5).
    clauses["nogag"] = [clauses.get("nogag"), agreement.policy.emergencies().json_value()]
    return clauses | {rule.id: rule.json_value() for rule in agreement.policy.rules}


def _shared(policy: Policy) -> list[Any]:
    value = policy.json_value()
    return [value.get(name) for name in _SHARED]


def _check_released(policy: Policy, happened: Happened, at: Bounds) -> None:
    for content_class, recipient in happened.releases:
        state = permitted(policy, happened.events, at, content_class=content_class, recipient=recipient)
        if state is not State.PERMITTED:
            raise AmendmentRetroactive(
                f"{content_class} was released to {recipient} and cannot be forbidden any more",
                content_class=content_class,
                recipient=recipient,
            )


def _check_overdue(before: Policy, after: Policy, happened: Happened, at: Bounds) -> None:
    judged = evaluate(after, happened.events, at)
    for (content_class, recipient), state in evaluate(before, happened.events, at).items():
        if state is State.OVERDUE and judged.get((content_class, recipient)) is not State.OVERDUE:
            raise AmendmentRetroactive(
                f"{content_class} is overdue to {recipient} and cannot be postponed any more",
                content_class=content_class,
                recipient=recipient,
            )


def _check_used(after: Agreement, happened: Happened) -> None:
    if happened.used is None:
        return
    for field in ("requests", "input_tokens", "output_tokens"):
        if int(getattr(after.budget, field)) < int(getattr(happened.used, field)):
            raise AmendmentRetroactive(f"more {field} were used than the amendment allows", field=f"budget.{field}")
