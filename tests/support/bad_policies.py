"""Terms nobody should sign, one for each rule of the linter that a party of bad will would like to break."""

from __future__ import annotations

from typing import Any, NamedTuple

from attestations.documents.agreement import Clauses
from attestations.documents.base import validated
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy

GOOD = Clauses(no_gag=True, safe_harbor=True)


class BadTerms(NamedTuple):
    """One case: the study's number, the rule it breaks, and the terms."""

    case: str
    rule: str
    policy: Policy
    clauses: Clauses = GOOD


def _policy(change: dict[str, dict[str, Any] | None], *more: dict[str, Any], **fields: Any) -> Policy:
    """Return the standard policy with some of its rules changed or left out, some added, and fields replaced."""
    value = standard_policy().json_value()
    rules = [rule | change.get(rule["id"], {}) for rule in value["rules"] if change.get(rule["id"], {}) is not None]
    return validated(Policy, {**value, "rules": [*rules, *more], **fields})


BAD_TERMS = (
    BadTerms("T022", "L1", _policy({"c2-public": {"oblige": "TIME(anchor+P15BD+hold)"}})),
    BadTerms("T023", "L3", _policy({"c2-public": {"permit": "LAB_CONSENT(C2)", "oblige": None}})),
    BadTerms(
        "T024",
        "L4",
        _policy({}, {"id": "c9-public", "class": "C9", "to": "PUBLIC", "permit": "ORDER(*)", "oblige": None}),
    ),
    BadTerms("T025", "L5", _policy({}), Clauses(no_gag=False, safe_harbor=True)),
    BadTerms(
        "T026",
        "L8",
        _policy(
            {
                "c2-public": {
                    "permit": {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P60BD)"]},
                    "oblige": "TIME(anchor+P65BD)",
                }
            },
            profile="eu-gpai-cop",
        ),
    ),
    BadTerms("T030", "L2", _policy({}, escrow=None, escrowReason=None)),
)
