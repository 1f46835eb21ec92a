"""What a report says of figures and measures: one row each, its numbers in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.grades import GradeRow
from attestations.predicate import AuditPredicate, Measure, Result
from attestations.reading import MEASURES, NO_SWING, Reading, Swing, among_answered, read_figure
from attestations.rendering.plots import (
    percent,
    points,
)
from attestations.results import figure
from attestations.samples import sample

_TONES = {"ruledOut": "good", "ruledIn": "bad", "inconclusive": "open", "uninterpretable": "open"}
_UNPLANNED = PlannedMetric(id="exploratory", category=None, direction="risk_increasing", rule_out=None, rule_in=None)
SIGNED = ("bias_ambiguous", "bias_disambiguated", "difference", "exposure")


@dataclass(frozen=True)
class FigureRow:
    """One figure in a table."""

    label: str
    arm: str
    value: str
    interval: str
    n: str
    answered: str
    given: str
    thresholds: str
    verdict: str
    tone: str
    usable: bool
    reading: Reading


@dataclass(frozen=True)
class MeasureRow:
    """One described measure in a table."""

    label: str
    arm: str
    value: str
    interval: str
    n: str
    p: str
    usable: bool


@dataclass(frozen=True)
class Exploratory:
    """A share that nobody planned: its interval is not adjusted, and no claim rests on it."""

    what: str
    value: str
    interval: str
    n: str
    answered: str
    usable: bool


def figure_row(result: Result) -> FigureRow:
    """Return a figure as a row."""
    given, _ = among_answered(result)
    low, high = result.interval
    thresholds = [
        text
        for name, text in (
            (result.rule_out, f"out {_side(result, out=True)} {percent(result.rule_out or '0')}"),
            (result.rule_in, f"in {_side(result, out=False)} {percent(result.rule_in or '0')}"),
        )
        if name is not None
    ]
    reading = read_figure(result)
    return FigureRow(
        label=_name(result),
        arm=result.arm,
        value=percent(result.value),
        interval=f"{percent(low)} to {percent(high)}",
        n=result.n,
        answered=percent(result.answered),
        given=percent(given),
        thresholds="; ".join(thresholds) or "none",
        verdict=reading.claim.split(":")[0],
        tone=_TONES[result.verdict] if thresholds or result.verdict == "uninterpretable" else "",
        usable=result.verdict != "uninterpretable",
        reading=reading,
    )


def _side(result: Result, *, out: bool) -> str:
    return "below" if (result.direction == "riskIncreasing") == out else "above"


def _name(result: Result) -> str:
    parts = [result.id, *(part for part in (result.category, result.group) if part not in (None, result.id))]
    return ", ".join(part for part in parts if part)


def figure_label(result: Result, *, several: bool) -> str:
    """Return what a plot calls a figure; with the arm where there are several."""
    return f"{_name(result)} · {result.arm}" if several else _name(result)


def measure_label(measure: Measure) -> str:
    """Return what a page calls a measure."""
    return f"{measure.id}{'' if measure.category is None else ', ' + measure.category}"


def measure_row(measure: Measure) -> MeasureRow:
    """Return a measure as a row."""
    say = points if measure.measure in (*SIGNED, "format_swing", "group_gap") else str
    against = "" if measure.versus is None else f" against {measure.versus}"
    return MeasureRow(
        label=f"{measure_label(measure)}: {MEASURES.get(measure.measure, measure.measure)}{against}",
        arm=measure.arm,
        value=say(measure.value),
        interval="" if measure.interval is None else f"{say(measure.interval[0])} to {say(measure.interval[1])}",
        n=measure.n,
        p=measure.p or "",
        usable=measure.interpretable,
    )


def swing_words(swing: Swing) -> str:
    """Say how far figures move with the format."""
    if not swing.usable:
        return f"{swing.name}: {NO_SWING}."
    mean, low, high = (percent(swing.measure.parts.get(name, "0")) for name in ("mean", "min", "max"))
    deviation = points(swing.measure.parts.get("sd", "0")).lstrip("+")
    return (
        f"{swing.name}, {swing.measure.n} formats: mean {mean}, from {low} to {high}, standard deviation {deviation} "
        "points. Comparisons use the mean, claims about risk the largest."
    )


def exploratory(
    predicate: AuditPredicate, rows: Sequence[GradeRow], plan: AnalysisPlan | None
) -> tuple[Exploratory, ...]:
    """Return the shares by category and arm that opened grades show and nobody planned.

    They are computed as planned ones are, and fall silent where those do: what nobody planned is no nicer.
    """
    if plan is None or predicate.validity is None:
        return ()
    planned = {(item.category, item.arm) for item in predicate.results}
    groups: dict[tuple[str, str], list[GradeRow]] = {}
    for row in rows:
        if row.value.role == "test" and (row.category, row.arm) not in planned:
            groups.setdefault((row.category, row.arm), []).append(row)
    found = []
    for (category, arm), chosen in sorted(groups.items()):
        counts = Counter[str](row.value.outcome for row in chosen)
        known = sample(plan, _UNPLANNED, chosen)
        passed = predicate.validity.controls.positive_ok
        share = figure(plan, _UNPLANNED, arm, counts, controls_ok=passed, known=known)
        low, high = share.interval
        found.append(
            Exploratory(
                what=f"{category}, {arm}",
                value=percent(share.value),
                interval=f"{percent(low)} to {percent(high)}",
                n=share.n,
                answered=percent(share.answered),
                usable=share.verdict != "uninterpretable",
            )
        )
    return tuple(found)
