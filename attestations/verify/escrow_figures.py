"""Figures that only an escrow release opens: the attestation of an earlier stage, read as if it had released them."""

from __future__ import annotations

from attestations.measures import compute_measures, planned_measures
from attestations.predicate import AuditPredicate
from attestations.results import compute_results, planned_figures
from attestations.verify.opened import Content


def with_escrowed(predicate: AuditPredicate, content: Content, headline: str | None = None) -> AuditPredicate:
    """Return the attestation with the figures that escrow opened, or as it is where escrow opened none.

    The overall figures are those sealed in C2; those by category follow from the grades in C3. They are held
    against the same checks as published ones. `headline` is the arm that plan and declared deviations name.
    """
    aggregate, rows = content.aggregate, content.rows
    new = set(content.keys) - set(content.shown)
    if aggregate is None or not new & {"C2", "C3"}:
        return predicate
    arms = content.running
    figures = {(result.id, result.arm): result for result in aggregate.results} | {
        (result.id, result.arm): result for result in predicate.results
    }
    stage = max(predicate.disclosure.stage, "S2")
    if rows is not None:
        stage = max(stage, "S3")
        for result in compute_results(aggregate.plan, rows, arms):
            if result.content_class == "C3":
                figures.setdefault((result.id, result.arm), result)
    measures = {(item.id, item.arm): item for item in (*aggregate.measures, *predicate.measures)}
    if rows is not None:
        for item in compute_measures(aggregate.plan, rows, arms):
            measures.setdefault((item.id, item.arm), item)
    planned = [(metric.id, arm) for metric, arm in planned_figures(aggregate.plan, arms)]
    ordered = [*planned, *(place for place in figures if place not in planned)]  # an unplanned one is not dropped
    return predicate.model_copy(
        update={
            "results": tuple(figures[place] for place in ordered if place in figures),
            "measures": tuple(
                measures[item.id, arm]
                for item, arm in planned_measures(aggregate.plan, arms)
                if (item.id, arm) in measures
            ),
            "headline": predicate.headline or headline,
            "validity": predicate.validity or aggregate.validity,
            "disclosure": predicate.disclosure.model_copy(update={"stage": stage}),
        }
    )
