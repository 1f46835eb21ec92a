"""Step 12: an analysis that departs from its plan says so in the log, before its grades are fixed."""

from __future__ import annotations

from attestations.deviations import declared, headline_of
from attestations.documents.planning import AnalysisPlan
from attestations.errors import AnalysisDeviationUndeclared
from attestations.ledger import Deviation
from attestations.predicate import AuditPredicate
from attestations.verify.transcript import Transcript


def deviations_in(transcript: Transcript) -> list[Deviation]:
    """Return the deviations that count; none while no grades are fixed."""
    registration = transcript.registration
    if registration is None or transcript.grades_index is None:
        return []
    return declared(transcript.ledger, registration.plan, transcript.grades_index)


def check_deviations(predicate: AuditPredicate, plan: AnalysisPlan, transcript: Transcript) -> None:
    """Check that the attestation names exactly the declared deviations, and the headline that follows from them.

    Raises:
        AnalysisDeviationUndeclared: it departs from the plan otherwise, or keeps a declared deviation to itself.
    """
    found = deviations_in(transcript)
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
