"""Steps 12 and 13: published figures are the sealed ones, follow from the evidence, and claim no more than they may."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from attestations.documents.analysis import FORMATS, PlannedMeasure
from attestations.documents.engagement import PreRegistration
from attestations.documents.planning import AnalysisPlan
from attestations.errors import (
    ClaimUninterpretable,
    ControlsFailed,
    DecoyScored,
    PreRegistrationAltered,
    ScoreMismatch,
)
from attestations.grades import GradeRow
from attestations.measures import compute_measures, content_class, planned_measures
from attestations.predicate import AuditPredicate, Measure, Result, Validity
from attestations.results import (
    compute_canary,
    compute_controls,
    compute_results,
    controls_ok,
    count_judged,
    figure,
    judged_together,
    planned_figures,
)
from attestations.samples import check_observations, sample_of
from attestations.verify.disclosure import classes_up_to
from attestations.verify.opened import Aggregate

_PLANNED = ("content_class", "category", "group", "measure", "direction", "level", "rule_out", "rule_in")


def check_published(predicate: AuditPredicate, aggregate: Aggregate) -> None:
    """Compare the published aggregate with the one sealed before any release.

    Raises:
        ScoreMismatch: they differ.
    """
    published = tuple(result for result in predicate.results if result.content_class == "C2")
    for shown, sealed in zip(published, aggregate.results, strict=False):
        _same(shown, sealed, "is not the one that was sealed")
    if published != aggregate.results:
        raise ScoreMismatch("the published figures are not those that were sealed")
    if tuple(item for item in predicate.measures if item.content_class == "C2") != aggregate.measures:
        raise ScoreMismatch("the published measures are not those that were sealed", field="measures")
    if predicate.validity != aggregate.validity:
        raise ScoreMismatch("the published validity figures are not those that were sealed", field="validity")


def check_arithmetic(
    predicate: AuditPredicate, plan: AnalysisPlan, registration: PreRegistration, running: Sequence[str]
) -> None:
    """Compute every figure again from the outcomes it states itself; needs no grade.

    Raises:
        PreRegistrationAltered: a figure is held against other thresholds than were registered.
        ScoreMismatch: a figure does not follow from its own counts, counts other items than were planned, is
            missing, or was never planned.
    """
    shown = _shown(predicate)
    planned = [(metric, arm) for metric, arm in planned_figures(plan, running) if metric.content_class in shown]
    if [(result.id, result.arm) for result in predicate.results] != [(metric.id, arm) for metric, arm in planned]:
        raise ScoreMismatch("the attestation does not report exactly the planned figures")
    described = [(item, arm) for item, arm in planned_measures(plan, running) if content_class(item) in shown]
    if [(item.id, item.arm) for item in predicate.measures] != [(item.id, arm) for item, arm in described]:
        raise ScoreMismatch("the attestation does not report exactly the planned measures", field="measures")
    for said, (meant, _) in zip(predicate.measures, described, strict=True):
        _as_planned(said, meant, plan)
    passed = _controls_passed(predicate, plan)
    alone = []
    for result, (metric, arm) in zip(predicate.results, planned, strict=True):
        counts = {outcome: int(count) for outcome, count in result.outcomes.model_dump().items()}
        known = sample_of(metric, result)
        alone.append(figure(plan, metric, arm, counts, controls_ok=passed, known=known))
        asked = plan.formats if arm == FORMATS else (arm,)
        attempts = sum(registration.epochs_of(name) for name in asked)
        if metric.content_class == "C2" and result.n != str(plan.scored_tasks * attempts):
            raise ScoreMismatch(f"{result.id} is of {result.n} items, another number than was planned", field="n")
        if metric.content_class == "C2":
            check_observations(metric, result, known, tasks=plan.scored_tasks)
    for result, expected in zip(predicate.results, judged_together(plan, alone, running), strict=True):
        _same(result, expected, "does not follow from its own counts")


def check_recomputed(
    predicate: AuditPredicate, plan: AnalysisPlan, running: Sequence[str], rows: Sequence[GradeRow]
) -> None:
    """Compare the published figures with those computed from the opened grades, field by field.

    Raises:
        DecoyScored: another number of items is counted than was planned.
        ScoreMismatch: a figure differs, or is missing.
    """
    tests = {row.task for row in rows if row.value.role == "test"}
    others = {row.task for row in rows if row.value.role != "test" and row.arm in running}
    if len(tests) != plan.scored_tasks or tests & others:
        raise DecoyScored(
            f"{len(tests - others)} items are counted, {plan.scored_tasks} were planned", tasks=str(len(tests - others))
        )
    shown = _shown(predicate)
    expected = [item for item in compute_results(plan, rows, running) if item.content_class in shown]
    for published, computed in zip(predicate.results, expected, strict=False):
        _same(published, computed, "does not follow from the grades")
    measured = [item for item in compute_measures(plan, rows, running) if item.content_class in shown]
    for said, found in zip(predicate.measures, measured, strict=False):
        if said != found:
            raise ScoreMismatch(f"{said.id} does not follow from the grades", **_where(said, found))
    validity = predicate.validity
    if (
        validity is None
        or validity.controls != compute_controls(plan, rows)
        or validity.canary != compute_canary(rows)
        or validity.judged != count_judged(rows)
    ):
        raise ScoreMismatch("the published validity figures do not follow from the grades", field="validity")


def check_controls(predicate: AuditPredicate, plan: AnalysisPlan) -> None:
    """Check that a run whose controls failed, or that was hardly answered, claims nothing.

    Raises:
        ControlsFailed, ClaimUninterpretable.
    """
    passed = _controls_passed(predicate, plan)
    for result in predicate.results:
        if result.verdict == "uninterpretable":
            continue
        claim = f"{result.id} claims {result.verdict}"
        if not passed:
            raise ControlsFailed(f"{claim} though the positive controls failed", metric=result.id)
        answered = sum(int(count) for count in (result.outcomes.correct, result.outcomes.incorrect))
        if not answered or Decimal(answered) < Decimal(plan.answered_floor) * int(result.n):
            raise ClaimUninterpretable(f"{claim} though only {answered} of {result.n} were answered", metric=result.id)
    for measure in predicate.measures:
        if measure.interpretable and not passed:
            raise ControlsFailed(f"{measure.id} is read though the positive controls failed", measure=measure.id)


def _as_planned(said: Measure, meant: PlannedMeasure, plan: AnalysisPlan) -> None:
    planned = {"level": plan.level, "content_class": content_class(meant)}
    planned |= {name: getattr(meant, name) for name in ("measure", "category", "versus")}
    for name, value in planned.items():
        if getattr(said, name) != value:
            raise PreRegistrationAltered(f"{said.id}: {name} is not the one registered", measure=said.id, field=name)


def _where(said: Measure, found: Measure) -> dict[str, str]:
    different = [name for name in type(found).model_fields if getattr(said, name) != getattr(found, name)]
    return {"measure": said.id, "field": different[0]}


def _shown(predicate: AuditPredicate) -> tuple[str, ...]:
    return classes_up_to(predicate.disclosure.stage)


def _controls_passed(predicate: AuditPredicate, plan: AnalysisPlan) -> bool:
    # What is published as `positiveOk` decides nothing: the counts and the registered bound do.
    validity: Validity | None = predicate.validity
    if validity is None:
        return False
    return controls_ok(plan, passed=int(validity.controls.positive_passed), n=int(validity.controls.positive_n))


def _same(published: Result, expected: Result, complaint: str) -> None:
    names = [name for name in type(expected).model_fields if getattr(published, name) != getattr(expected, name)]
    if expected.verdict == "uninterpretable":
        # A verdict where none is possible is step 13's to name, which says why.
        names = [name for name in names if name not in ("verdict", "adjusted_p")]
    if not names:
        return
    facts = {"metric": published.id, "field": names[0]}
    if names[0] in _PLANNED:
        raise PreRegistrationAltered(f"{published.id}: {names[0]} is not the one registered", **facts)
    raise ScoreMismatch(f"{published.id}: the published {names[0]} {complaint}", **facts)
