"""The rules that templates are put together from; every obligation names the escrow holders there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attestations.policy.defaults import NO_ESCROW

_AFTER_REVIEW = "TIME(anchor+P20BD+hold)"  # with the longest hold 30 business days: Code of Practice, Measure 3.5(5)
Json = dict[str, Any]


def rule(name: str, to: str, permit: Any, oblige: Any = None, **more: Any) -> Json:
    """Return one rule as JSON; its id follows from its class and recipient."""
    target = to.lower().replace("(", "-").replace(")", "").replace("_", "-")
    return {"id": f"{name.lower()}-{target}", "class": name, "to": to, "permit": permit, "oblige": oblige, **more}


def commitments() -> list[Json]:
    """Commitments for everyone as soon as the run is closed."""
    return [
        rule("C1", "PUBLIC", "RUN_CLOSED", "RUN_CLOSED + P10BD"),
        rule("C1", "REGULATOR", "RUN_CLOSED", "RUN_CLOSED + P5BD"),
    ]


def results() -> list[Json]:
    """Figures for the regulator at once, for the public after a bounded review."""
    published = {"and": ["RUN_CLOSED", {"or": ["LAB_CONSENT(C2)", _AFTER_REVIEW]}]}
    by_category = {"and": ["RUN_CLOSED", {"or": ["LAB_CONSENT(C3)", _AFTER_REVIEW]}]}
    return [
        rule("C2", "REGULATOR", "RUN_CLOSED", "RUN_CLOSED + P10BD"),
        rule("C2", "PUBLIC", published, "TIME(anchor+P25BD+hold)"),
        rule("C3", "REGULATOR", "RUN_CLOSED", "RUN_CLOSED + P15BD"),
        rule("C3", "PUBLIC", by_category, "TIME(anchor+P30BD+hold)"),
    ]


def findings() -> list[Json]:
    """Findings for remediation, at once for those who can act on them."""
    return [rule("C4", "LAB_SAFETY", "RUN_CLOSED"), rule("C4", "REGULATOR", "RUN_CLOSED")]


def material(*names: str) -> list[Json]:
    """Tasks, targets, transcripts and provenance for the regulator."""
    return [rule(name, "REGULATOR", "RUN_CLOSED + P10BD", "RUN_CLOSED + P30BD") for name in names]


def policy(rules: Sequence[Json], *, escrow: Sequence[str], emergency_classes: Sequence[str], **more: Any) -> Json:
    """Return a whole policy under the Code of Practice profile, with holders where something is owed."""
    holders = list(escrow)
    sealed = [
        {**given, "escrow": holders if given["oblige"] is not None and given["class"] != "C1" else []}
        for given in rules
    ]
    value: Json = {
        "v": "safeconduct-policy/v1",
        "anchor": "RUN_CLOSED",
        "calendar": {"holidays": []},
        "maxHold": "P10BD",
        "minReview": "P5BD",
        "profile": "eu-gpai-cop",
        "rules": sealed,
        "protected": ["c1-regulator", "c2-regulator", "nogag", "safeharbor"],
        "emergency": {
            "initiators": ["AUDITOR", "LAB_SAFETY", "REGULATOR"],
            "twoKey": ["AUDITOR", "REGULATOR"],
            "classes": list(emergency_classes),
            "to": ["LAB_SAFETY", "REGULATOR"],
            "review": "P10BD",
        },
        **more,
    }
    return value if holders else value | {"escrow": "none", "escrowReason": NO_ESCROW}
