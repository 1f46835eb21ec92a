"""The example of the protocol study (4.2), word for word."""

from __future__ import annotations

from typing import Any

EXAMPLE: dict[str, Any] = {
    "v": "safeconduct-policy/v1",
    "anchor": "RUN_CLOSED",
    "calendar": {"holidays": ["2026-12-25"]},
    "maxHold": "P10BD",
    "minReview": "P5BD",
    "rules": [
        {
            "id": "r1",
            "class": "C2",
            "to": "REGULATOR",
            "permit": "RUN_CLOSED",
            "oblige": "RUN_CLOSED + P5BD",
            "escrow": ["E1"],
        },
        {
            "id": "r2",
            "class": "C2",
            "to": "PUBLIC",
            "permit": {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P20BD+hold)"]},
            "oblige": "TIME(anchor+P25BD+hold)",
            "escrow": ["E1", "E2"],
        },
        {
            "id": "r3",
            "class": "C4",
            "to": "LAB_SAFETY",
            "permit": "RUN_CLOSED",
            "oblige": "RUN_CLOSED + P2BD",
            "escrow": ["E1"],
        },
        {
            "id": "r4",
            "class": "C5",
            "to": "PUBLIC",
            "permit": {
                "and": ["TIME(anchor+P180D+hold)", {"or": ["REMEDIATION_CONFIRMED(*)", "TIME(anchor+P365D+hold)"]}]
            },
            "oblige": "TIME(anchor+P395D+hold)",
            "redact": ["C9"],
            "escrow": ["E1", "E2"],
        },
        {"id": "r5", "class": "C9", "to": "CLEARED(bio)", "permit": {"or": ["ORDER(*)", "EMERGENCY(*)"]}},
    ],
    "protected": ["r1", "r3", "nogag", "safeharbor"],
    "emergency": {
        "initiators": ["AUDITOR", "LAB_SAFETY", "REGULATOR"],
        "twoKey": ["AUDITOR", "REGULATOR"],
        "classes": ["C4", "C7:subset"],
        "to": ["LAB_SAFETY", "REGULATOR"],
        "review": "P10BD",
    },
}
