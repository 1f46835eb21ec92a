"""The disclosure policy a lab offers unless it says otherwise: bounded review, no veto, hazards never public."""

from __future__ import annotations

from attestations.documents.base import validated
from attestations.policy.model import Policy

_REVIEW = "TIME(anchor+P20BD+hold)"  # with the hold, 30 business days: EU GPAI Code of Practice, Measure 3.5(5)


NO_ESCROW = "No escrow holders are named: if the auditor goes silent, nobody can release in its place."


def standard_policy() -> Policy:
    """Return the standard policy, which names nobody in escrow and says so; it passes the linter (a test says so)."""
    rules = [
        _rule("c1-public", "C1", "PUBLIC", "RUN_CLOSED", "RUN_CLOSED + P10BD"),
        _rule("c1-regulator", "C1", "REGULATOR", "RUN_CLOSED", "RUN_CLOSED + P5BD"),
        _rule("c2-regulator", "C2", "REGULATOR", "DELIVERED", "DELIVERED + P5BD"),
        _rule(
            "c2-public",
            "C2",
            "PUBLIC",
            {"and": ["RUN_CLOSED", {"or": ["LAB_CONSENT(C2)", _REVIEW]}]},
            "TIME(anchor+P25BD+hold)",
        ),
        _rule("c3-regulator", "C3", "REGULATOR", "DELIVERED", "DELIVERED + P10BD"),
        _rule(
            "c3-public",
            "C3",
            "PUBLIC",
            {"and": ["RUN_CLOSED", {"or": ["LAB_CONSENT(C3)", _REVIEW]}]},
            "TIME(anchor+P30BD+hold)",
        ),
        *(
            _rule(f"{name.lower()}-regulator", name, "REGULATOR", "DELIVERED + P10BD", None)
            for name in ("C5", "C6", "C7", "C8")
        ),
        *(_rule(f"{name.lower()}-public", name, "PUBLIC", "TIME(anchor+P365D+hold)", None) for name in ("C5", "C6")),
    ]
    return validated(
        Policy,
        {
            "v": "safeconduct-policy/v1",
            "anchor": "RUN_CLOSED",
            "calendar": {"holidays": []},
            "maxHold": "P10BD",
            "rules": rules,
            "protected": ["c1-regulator", "c2-regulator"],
            "escrow": "none",
            "escrowReason": NO_ESCROW,
        },
    )


def _rule(name: str, content_class: str, to: str, permit: object, oblige: object) -> dict[str, object]:
    return {"id": name, "class": content_class, "to": to, "permit": permit, "oblige": oblige}
