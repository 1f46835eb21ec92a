"""Step 12: an analysis that departs from its plan says so in the log, before its grades are fixed."""

from __future__ import annotations

from attestations.documents.engagement import AnalysisPlan
from attestations.errors import AnalysisDeviationUndeclared
from attestations.ledger import Deviation
from attestations.predicate import AuditPredicate
from attestations.verify.transcript import Transcript


def declared(transcript: Transcript) -> list[Deviation]:
    """Return the deviations that count: from the registered plan, and logged before the grades were."""
    registration, grades = transcript.registration, transcript.grades_index
    if registration is None or grades is None:
        return []
    return [
        item for item in transcript.ledger.deviations if item.leaf < grades and item.document.plan == registration.plan
    ]


def headline_of(plan: AnalysisPlan, deviations: list[Deviation]) -> str | None:
    """Return the arm whose figures are the result: the planned one, or the last one declared in its place."""
    changed = [item.document.arm for item in deviations if item.document.what == "headline"]
    return changed[-1] if changed else plan.headline


def check_deviations(predicate: AuditPredicate, plan: AnalysisPlan, transcript: Transcript) -> None:
    """Check that the attestation names exactly the declared deviations, and the headline that follows from them.

    Raises:
        AnalysisDeviationUndeclared: it departs from the plan otherwise, or keeps a declared deviation to itself.
    """
    found = declared(transcript)
    named = () if predicate.validity is None else predicate.validity.deviations
    if named != tuple(item.digest for item in found):
        raise AnalysisDeviationUndeclared(
            "the attestation names other deviations than were declared before the grades were fixed",
            field="deviations",
        )
    expected = headline_of(plan, found)
    if predicate.headline != expected:
        raise AnalysisDeviationUndeclared(
            f"the headline is of {predicate.headline}, planned or declared was {expected}", field="headline"
        )
