"""Amendments and terminations in the made-up audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import format_time, validated
from attestations.documents.negotiation import Termination
from attestations.keys import Signer
from attestations.policy.model import Policy
from tests.support.world_run import Run

Change = Callable[[Agreement], dict[str, Any]]


def amend(run: Run, change: Change, signers: Sequence[Signer] = ()) -> None:
    """Log an amendment that changes what `change` gives; `signers` sign besides lab and auditor."""
    before = run.agreement
    superseded = sha256(before.to_bytes())
    after = before.model_copy(
        update={"supersedes": superseded, "created_at": format_time(run.log.now), **change(before)}
    )
    envelope = run.hooks.sign(("amendment",), after, run.keys.lab_agreement, run.keys.agreement, *signers)
    run.log.receipt("amendment", envelope)
    run.agreement = after


def terminate(run: Run, grounds: Any = "both", signers: Sequence[Signer] | None = None, days: float = 0) -> None:
    """Log a termination that takes effect after so many days."""
    stated = run.log.now
    document = Termination(
        agreement=run.digest,
        in_force=sha256(run.agreement.to_bytes()),
        grounds=grounds,
        effective_at=format_time(stated + timedelta(days=days)),
        stated_at=format_time(stated),
    )
    both = (run.keys.lab_agreement, run.keys.agreement)
    envelope = run.hooks.sign(("termination",), document, *(both if signers is None else signers))
    run.log.receipt("termination", envelope)


def rules(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Change:
    """Return a change of the policy's rules."""

    def changed(agreement: Agreement) -> dict[str, Any]:
        value = agreement.policy.json_value()
        return {"policy": validated(Policy, value | {"rules": change(value["rules"])})}

    return changed


def without(name: str) -> Change:
    """Return a change that takes a rule out."""
    return rules(lambda given: [rule for rule in given if rule["id"] != name])


def with_rule(name: str, **fields: Any) -> Change:
    """Return a change of one rule."""
    return rules(lambda given: [rule | fields if rule["id"] == name else rule for rule in given])
