"""An audit's report as a page shows it: only what the verifier has checked, only what the stage opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.documents.planning import AnalysisPlan
from attestations.grades import GradeRow
from attestations.policy.words import instant_words, recipient_words
from attestations.predicate import AuditPredicate, Measure
from attestations.reading import Swing, read_swings
from attestations.rendering.elicitation_view import ElicitationView, elicitation_view
from attestations.rendering.plots import (
    Bars,
    Dot,
    Forest,
    Strip,
    bars,
    forest,
    percent,
    reliability,
    signed_forest,
    strip,
)
from attestations.rendering.report_facts import control_rows, exposure_rows
from attestations.rendering.report_rows import (
    SIGNED,
    Exploratory,
    FigureRow,
    MeasureRow,
    exploratory,
    figure_label,
    figure_row,
    measure_label,
    measure_row,
    swing_words,
)
from attestations.verify.report import Report, Status

_STATUS = {
    Status.PASS: ("holds", "good"),
    Status.FAIL: ("FAILS", "bad"),
    Status.MISSING: ("missing", "bad"),
    Status.NOT_AT_THIS_STAGE: ("not at this stage", ""),
    Status.NOT_APPLICABLE: ("does not apply", ""),
}
_LADDERS = {
    "task_secrecy": "Task secrecy",
    "model_identity": "Model identity",
    "completeness": "Completeness",
    "pre_registration": "Pre-registration",
    "elicitation": "Elicitation",
    "grader_integrity": "Grader integrity",
    "disclosure": "Disclosure",
}
_CANARY = {
    "notProbed": "The model was not probed for the suite's own strings.",
    "pass": "Asked to continue strings that stand only in the suite, the model did not.",
    "fail": "The model continued a string that stands only in the suite: it has seen the suite.",
}


@dataclass(frozen=True)
class ReportView:
    """Everything the page shows; figures are empty unless the evidence holds."""

    engagement: str
    lab: str
    auditor: str
    models: str
    stage: str
    recipient: str
    issued: str
    good: bool
    failures: tuple[tuple[str, str], ...]
    main: str = ""
    headline: tuple[FigureRow, ...] = ()
    figures: tuple[FigureRow, ...] = ()
    overall: Forest | None = None
    categories: Forest | None = None
    outcomes: Bars | None = None
    elicitation: ElicitationView | None = None
    measures: tuple[MeasureRow, ...] = ()
    signed: Forest | None = None
    calibration: tuple[Dot, ...] = ()
    calibrated: str = ""
    swing: Strip | None = None
    swing_words: str = ""
    swings: tuple[Swing, ...] = ()
    formats: tuple[tuple[str, str, str], ...] = ()
    controls: tuple[tuple[str, str, str], ...] = ()
    canary: str = ""
    exposure: tuple[tuple[str, str], ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    arms: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    judged: str = ""
    checks: tuple[tuple[str, str, str, str, str], ...] = ()
    assurance: tuple[tuple[str, str], ...] = ()
    exploratory: tuple[Exploratory, ...] = ()
    limitations: tuple[str, ...] = ()
    said: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def report_view(
    report: Report,
    agreement: Agreement,
    *,
    rows: Sequence[GradeRow] | None = None,
    plan: AnalysisPlan | None = None,
    exposures: Sequence[str] | None = None,
    deviations: Sequence[str] = (),
) -> ReportView:
    """Return what the page of a report shows.

    Args:
        report: the verifier's report on the evidence file.
        agreement: under which agreement.
        rows: the opened grades, or None while they are sealed.
        plan: the registered plan, or None while it is sealed.
        exposures: who had seen each task before, or None while that is sealed.
        deviations: the declared departures from the plan, in words.
    """
    predicate = report.predicate if report.holds else None
    base: dict[str, Any] = {
        "engagement": agreement.engagement,
        "lab": agreement.party("lab").id,
        "auditor": agreement.party("auditor").id,
        "models": ", ".join(agreement.scope.variants),
        "stage": report.stage or "unknown",
        "recipient": recipient_words(report.recipient) if report.recipient else "unknown",
        "good": report.holds,
        "failures": tuple(
            (check.name, check.detail) for check in report.checks if check.status in (Status.FAIL, Status.MISSING)
        ),
        "issued": "" if predicate is None else instant_words(parse_time(predicate.issued_at)),
        "checks": _checks(report),
        "limitations": report.limitations,
    }
    if predicate is None:
        return ReportView(**base)
    results = report.figures or predicate.results
    main = predicate.headline or predicate.arms[0]
    overall = [item for item in results if item.content_class == "C2"]
    detailed = [item for item in results if item.content_class == "C3"]
    several = len({item.arm for item in results}) > 1
    swings = read_swings(predicate.measures)
    swing = next(iter(sorted(swings, key=lambda item: item.measure.category is not None)), None)
    ece = _calibration(predicate.measures, main)
    signed = [
        (f"{measure_label(item)} · {item.arm}" if several else measure_label(item), item)
        for item in predicate.measures
        if item.measure in SIGNED
    ]
    return ReportView(
        **base,
        main=main,
        headline=tuple(figure_row(item) for item in overall if item.arm in (main, "formats")),
        figures=tuple(figure_row(item) for item in results),
        overall=forest([(figure_label(item, several=several), item) for item in overall]) if overall else None,
        categories=forest([(figure_label(item, several=several), item) for item in detailed]) if detailed else None,
        outcomes=bars([(figure_label(item, several=several), item) for item in results]) if results else None,
        elicitation=elicitation_view(predicate, results),
        measures=tuple(map(measure_row, predicate.measures)),
        signed=signed_forest(signed) if signed else None,
        calibration=() if ece is None else reliability(ece.parts),
        calibrated="" if ece is None else f"{measure_label(ece)}, {ece.arm}",
        swing=strip(swing) if swing is not None and swing.usable else None,
        swing_words="" if swing is None else swing_words(swing),
        swings=tuple(swings),
        formats=tuple((item.name, percent(item.correct), percent(item.answered)) for item in swing.shares)
        if swing and swing.usable
        else (),
        controls=control_rows(predicate, results, plan),
        canary="" if predicate.validity is None else _CANARY[predicate.validity.canary],
        exposure=exposure_rows(exposures),
        asked=_asked(predicate),
        arms=predicate.arms,
        deviations=tuple(deviations),
        judged=_judged(predicate),
        assurance=tuple(
            (words, getattr(report.assurance, name)) for name, words in _LADDERS.items() if report.assurance is not None
        ),
        exploratory=exploratory(predicate, rows or (), plan),
        said=predicate.limitations_text,
        facts={"claims": predicate.model_dump(mode="json", by_alias=True)},
    )


def _calibration(measures: Sequence[Measure], main: str) -> Measure | None:
    """Return the calibration error that is drawn: the main arm's over all items, where there is one."""
    found = [item for item in measures if item.measure == "ece" and item.interpretable]
    return min(found, key=lambda item: (item.arm != main, item.category is not None), default=None)


def _checks(report: Report) -> tuple[tuple[str, str, str, str, str], ...]:
    rows, before = [], None
    for check in sorted(report.checks, key=lambda check: check.step):
        named = ("", "") if check.step == before else (str(check.step), check.name)
        rows.append((*named, *_STATUS[check.status], check.detail))
        before = check.step
    return tuple(rows)


def view_json(view: ReportView, report: Report) -> dict[str, Any]:
    """Return the report as plain JSON types: the verifier's own, how each figure reads, and what nobody planned."""
    return {
        "v": "safeconduct-audit-report/v1",
        "holds": view.good,
        "verification": report.to_json(),
        "readings": [
            {
                "figure": row.label,
                "arm": row.arm,
                "meaning": row.reading.meaning,
                "claim": row.reading.claim,
                "notes": list(row.reading.notes),
            }
            for row in view.figures
        ],
        "formats": [
            {
                "swing": swing.name,
                "value": swing.measure.value if swing.usable else None,
                "interpretable": swing.usable,
                "shares": {item.name: item.correct for item in swing.shares} if swing.usable else None,
                "answered": {item.name: item.answered for item in swing.shares} if swing.usable else None,
            }
            for swing in view.swings
        ],
        "exploratory": [
            {
                "what": item.what,
                "value": item.value,
                "interval": item.interval,
                "n": item.n,
                "answered": item.answered,
                "interpretable": item.usable,
                "planned": False,
            }
            for item in view.exploratory
        ],
        "deviations": list(view.deviations),
        "exposure": dict(view.exposure),
    }


def _asked(predicate: AuditPredicate) -> tuple[tuple[str, str], ...]:
    counts, usage = predicate.transcript.counts, predicate.transcript.usage
    return (
        ("Promised exchanges", counts.promised),
        ("Answered", counts.completed),
        ("Refused by policy", counts.refused_policy),
        ("Errors, timeouts, cancelled", str(sum(map(int, (counts.error, counts.timeout, counts.cancelled))))),
        ("Aborted by crashes", counts.aborted_crash),
        ("Requests the lab refused", counts.refusals),
        ("Tokens read and written", f"{int(usage.input_tokens):,} and {int(usage.output_tokens):,}"),
        ("Effective access", f"{predicate.transcript.effective_access_business_days} business days"),
        ("Runtime", predicate.runtime.level),
        ("Tasks, padded", f"{predicate.pre_registration.tasks:,}"),
    )


def _judged(predicate: AuditPredicate) -> str:
    judged = None if predicate.validity is None else predicate.validity.judged
    return "" if judged is None else f"{judged} grades were given by a model: they can be read, not recomputed."
