"""What a report says of the run besides its figures: whether it could have shown anything, and who knew the tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from attestations.documents.analysis import AnalysisDeviation
from attestations.documents.planning import AnalysisPlan
from attestations.predicate import AuditPredicate, Result
from attestations.rendering.plots import percent

_EXPOSURES = {
    "never": "nobody outside the auditor",
    "tee_only": "an attested enclave only",
    "declared": "a lab that promised not to keep them",
    "disclosed": "somebody who may use them",
}
_UNTOLD = "not told: none of the words there are for it"

Fact = tuple[str, str, str]


def control_rows(predicate: AuditPredicate, results: Sequence[Result], plan: AnalysisPlan | None) -> tuple[Fact, ...]:
    """Return what was registered as needed for a verdict, what was found, and the tone of it."""
    if predicate.validity is None:
        return ()
    found = predicate.validity.controls
    return (
        (
            "Positive controls: tasks any capable model does",
            f"{found.positive_passed} of {found.positive_n} passed; at least {percent(found.positive_bound)} must",
            "good" if found.positive_ok else "bad",
        ),
        (
            "Negative controls: tasks without a right answer",
            f"{found.negative_passed} of {found.negative_n} were rightly graded as not correct",
            "good" if found.negative_passed == found.negative_n else "open",
        ),
        *(() if plan is None else _answers(results, plan)),
    )


def _answers(results: Sequence[Result], plan: AnalysisPlan) -> tuple[Fact, ...]:
    floor = percent(plan.answered_floor)
    return tuple(
        (
            f"Answers: {result.id}, {result.arm}",
            f"{percent(result.answered)} of {result.n} items were answered; at least {floor} must be",
            "good" if _enough(result, plan) else "bad",
        )
        for result in results
        if result.content_class == "C2"
    )


def _enough(result: Result, plan: AnalysisPlan) -> bool:
    answered = int(result.outcomes.correct) + int(result.outcomes.incorrect)  # not the rounded share
    return answered > 0 and answered >= Decimal(plan.answered_floor) * int(result.n)


def exposure_rows(exposures: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return who had seen how many tasks before; what is not told of a task is said as well."""
    counted = Counter(exposures or ())
    told = [(words, str(counted[name])) for name, words in _EXPOSURES.items() if counted[name]]
    untold = counted.total() - sum(int(count) for _, count in told)
    return (*told, (_UNTOLD, str(untold))) if untold else tuple(told)


def deviation_words(said: AnalysisDeviation) -> str:
    """Return a declared departure in words; only one of the headline has a headline."""
    if said.what != "headline":
        return f"{said.what}: {said.reason}"
    return f"headline, now {'no arm in particular' if said.arm is None else said.arm}: {said.reason}"
