"""Which declared departures from the plan count: the same answer for auditor and verifier."""

from __future__ import annotations

from collections.abc import Sequence

from attestations.documents.planning import AnalysisPlan
from attestations.ledger import Deviation, Ledger


def declared(ledger: Ledger, plan: str | None, grades_index: int | None) -> list[Deviation]:
    """Return the deviations from the registered plan that were logged before the grades were fixed.

    Args:
        ledger: what the log says.
        plan: the registered plan's digest, or None before it is registered.
        grades_index: the leaf of the grades, or None while they can still change.
    """
    return [
        item
        for item in ledger.deviations
        if item.document.plan == plan and (grades_index is None or item.leaf < grades_index)
    ]


def headline_of(plan: AnalysisPlan, deviations: Sequence[Deviation]) -> str | None:
    """Return the arm whose figures are the result: the planned one, or the last one declared in its place."""
    changed = [item.document.arm for item in deviations if item.document.what == "headline"]
    return changed[-1] if changed else plan.headline
