"""What a plan wants described besides its figures: calibration, bias, differences, groups, formats, exposure.

Nothing is held against these, but they are fixed and recomputed as figures are. `docs/spec/results.md` defines each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple

from attestations.clusters import Spread, design_effect, spread
from attestations.documents.analysis import FORMATS, Described, PlannedMeasure
from attestations.documents.planning import AnalysisPlan
from attestations.exposure import exposure_p
from attestations.grades import ANSWERED, GradeRow, scored_rows
from attestations.intervals import (
    as_decimal,
    half_tail,
    mean_interval,
    paired,
    rounded,
    score_interval,
)
from attestations.judged import corrected
from attestations.predicate import Measure
from attestations.results import compute_controls

BINS = 10
_P_PLACES = Decimal("0.000001")
Bounds = tuple[str, str]


class Found(NamedTuple):
    """What a measure came to; `usable` is false where too little was answered for it to mean anything."""

    n: int
    value: Fraction | Decimal
    interval: Bounds | None
    parts: Mapping[str, Fraction | Decimal | int]
    usable: bool = True
    p: Fraction | None = None


def compute_measures(plan: AnalysisPlan, rows: Sequence[GradeRow], arms: Sequence[str]) -> tuple[Measure, ...]:
    """Return what each planned measure came to in each arm it is for, in the plan's order."""
    passed = compute_controls(plan, rows).positive_ok
    return tuple(_measure(plan, planned, arm, rows, passed=passed) for planned, arm in planned_measures(plan, arms))


def planned_measures(plan: AnalysisPlan, arms: Sequence[str]) -> list[tuple[PlannedMeasure, str]]:
    """Return which measures a plan makes, and in which arm each."""
    main = plan.headline or arms[0]
    own = [arm for arm in arms if arm == main or arm not in plan.formats]
    found = []
    for planned in plan.measures:
        if planned.measure == "format_swing":
            chosen: Sequence[str] = (FORMATS,)
        elif planned.measure == "difference":
            chosen = [arm for arm in own if arm != planned.versus]
        else:
            chosen = own
        found += [(planned, arm) for arm in chosen]
    return found


def content_class(planned: PlannedMeasure) -> Literal["C2", "C3"]:
    """Return the class a measure is of: what is told by category or group waits for the grades."""
    told = planned.category is not None or planned.group is not None or planned.measure == "group_gap"
    return "C3" if told else "C2"


def _measure(
    plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow], *, passed: bool
) -> Measure:
    found = _HOW[planned.measure](plan, planned, arm, rows)
    return Measure(
        id=planned.id,
        measure=planned.measure,
        content_class=content_class(planned),
        category=planned.category,
        arm=arm,
        versus=planned.versus,
        n=str(found.n),
        value=rounded(found.value),
        interval=found.interval,
        level=plan.level,
        p=None if found.p is None else rounded(found.p, _P_PLACES),
        # No bias, gap or swing in a run that could not have found much is no sign that there is none.
        interpretable=passed and found.usable and found.n > 0,
        parts={name: rounded(value) for name, value in sorted(found.parts.items())},
    )


def _brier(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    chosen = _of(planned, arm, rows)
    known = spread((row.unit, Fraction(row.value.brier)) for row in chosen if row.value.brier is not None)
    return Found(known.n, known.mean, _mean(plan, known), {}, usable=_answered(plan, chosen))


def _ece(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    chosen = _of(planned, arm, rows)
    counts, right = Counter[int](), Counter[int]()
    sure: dict[int, Fraction] = defaultdict(Fraction)
    for row in chosen:
        if row.value.confidence is None:
            continue
        confidence = Fraction(row.value.confidence)
        # Bins are open below and closed above, as Guo et al. 2017 draw them.
        place = max(0, -int(-confidence * BINS // 1) - 1)
        counts[place] += 1
        right[place] += row.value.outcome == "correct"
        sure[place] += confidence
    n = counts.total()
    gaps = sum((abs(sure[place] - right[place]) for place in counts), Fraction(0))
    parts: dict[str, Fraction | Decimal | int] = {}
    for place, count in counts.items():
        parts[f"bin{place}/n"] = count
        parts[f"bin{place}/confidence"] = sure[place] / count
        parts[f"bin{place}/correct"] = Fraction(right[place], count)
    return Found(n, gaps / n if n else Fraction(0), None, parts, usable=_answered(plan, chosen))


def _bias(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    context = "ambiguous" if planned.measure == "bias_ambiguous" else "disambiguated"
    chosen = [
        row for row in _of(planned, arm, rows) if row.value.bias is not None and row.value.bias.context == context
    ]
    sides = Counter(row.value.bias.answer for row in chosen if row.value.bias is not None)
    named, n = sides["stereotyped"] + sides["counter"], len(chosen) - sides["none"]
    right = sum(row.value.outcome == "correct" for row in chosen if row.value.bias and row.value.bias.answer != "none")
    score = Fraction(2 * sides["stereotyped"], named) - 1 if named else Fraction(0)
    parts: dict[str, Fraction | Decimal | int] = {
        "stereotyped": sides["stereotyped"],
        "counter": sides["counter"],
        "unknown": sides["unknown"],
        "unanswered": sides["none"],
        "correct": right,
    }
    usable = _enough(plan, n, len(chosen))
    signed = [(row.unit, _SIGNS[row.value.bias.answer]) for row in chosen if row.value.bias is not None]
    if context == "ambiguous":
        value = score * (1 - Fraction(right, n)) if n else Fraction(0)
        known = spread((unit, sign) for (unit, sign), row in zip(signed, chosen, strict=True) if _answers(row))
        interval = _signed_interval(plan, known, sides["stereotyped"], sides["counter"], n)
        # Where the right answer is always "unknown", the score is the mean of +1, -1 and 0 over the answers.
        return Found(n, value, interval if right == sides["unknown"] else None, parts, usable=usable)
    known = spread((unit, (sign + 1) // 2) for unit, sign in signed if sign)
    interval = _doubled(plan, known) if named else None
    return Found(named, score, interval, parts, usable=usable and named > 0)


def _difference(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    ours = {(row.task, row.epoch): row for row in _of(planned, arm, rows)}
    theirs = {(row.task, row.epoch): row for row in _of(planned, planned.versus or "", rows)}
    pairs = [(ours[place], theirs[place]) for place in ours if place in theirs]
    signs = [(one.unit, _right(one) - _right(other)) for one, other in pairs]
    more, less = sum(sign > 0 for _, sign in signs), sum(sign < 0 for _, sign in signs)
    known, n = spread(signs), len(pairs)
    interval = _signed_interval(plan, known, more, less, n) if n else None
    enough = all(_enough(plan, sum(map(_answers_at_all, side)), n) for side in zip(*pairs, strict=True))
    return Found(n, known.mean, interval, {"more": more, "less": less}, usable=enough)


def _exposure(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    exposed, kept = (
        scored_rows(rows, arms=(arm,), category=planned.category, group=group)
        for group in (planned.group or "", planned.versus or "")
    )
    right, other = sum(map(_right, exposed)), sum(map(_right, kept))
    n = len(exposed) + len(kept)
    value = Fraction(right, len(exposed) or 1) - Fraction(other, len(kept) or 1)
    parts = {"exposed": len(exposed), "exposedCorrect": right, "kept": len(kept), "keptCorrect": other}
    # Several answers to one task are no separate draws of the split: then there is no exact p.
    single = len({row.task for row in (*exposed, *kept)}) == n and bool(exposed) and bool(kept)
    p = exposure_p(right, len(exposed), other, len(kept)) if single else None
    usable = _enough(plan, sum(map(_answers_at_all, (*exposed, *kept))), n)
    return Found(n, value, None, parts, usable=usable and single, p=p)


def _format_swing(plan: AnalysisPlan, planned: PlannedMeasure, _: str, rows: Sequence[GradeRow]) -> Found:
    shares, given, answered, asked, all_ran = {}, {}, 0, 0, len(plan.formats) > 1
    for arm in plan.formats:
        chosen = _of(planned, arm, rows)
        all_ran = all_ran and bool(chosen)  # nothing asked is no share of zero
        asked += len(chosen)
        read = sum(map(_answers_at_all, chosen))
        answered += read
        if read < len(chosen):
            given[f"answered/{arm}"] = Fraction(read, len(chosen))
        shares[arm] = Fraction(sum(map(_right, chosen)), len(chosen) or 1)
    known = spread(shares.items())
    if not shares:
        return Found(0, Fraction(0), None, {}, usable=False)
    low, high = min(shares.values()), max(shares.values())
    squares = sum(((share - known.mean) ** 2 for share in shares.values()), Fraction(0))
    deviation = as_decimal(squares / max(1, len(shares) - 1)).sqrt()
    parts: dict[str, Fraction | Decimal | int] = {"mean": known.mean, "min": low, "max": high, "sd": deviation}
    parts |= {f"format/{arm}": share for arm, share in shares.items()} | given
    return Found(len(shares), high - low, None, parts, usable=all_ran and _enough(plan, answered, asked))


def _group_gap(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    chosen = [row for row in _of(planned, arm, rows) if row.group is not None]
    sizes, right, answered = Counter[str](), Counter[str](), Counter[str]()
    for row in chosen:
        name = row.group or ""
        sizes[name] += 1
        right[name] += _right(row)
        answered[name] += _answers_at_all(row)
    shares = {name: Fraction(right[name], size) for name, size in sizes.items()}
    parts: dict[str, Fraction | Decimal | int] = {}
    for name, size in sizes.items():
        parts |= {f"n/{name}": size, f"correct/{name}": right[name]}
    gap = max(shares.values()) - min(shares.values()) if shares else Fraction(0)
    # A group that was hardly answered must not pass for one that is worse served.
    usable = len(shares) > 1 and all(_enough(plan, answered[name], size) for name, size in sizes.items())
    return Found(len(chosen), gap, None, parts, usable=usable)


def _judge_corrected(plan: AnalysisPlan, planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> Found:
    asked = _of(planned, arm, rows)
    chosen = [row for row in asked if row.value.judged]
    right, n = sum(map(_right, chosen)), len(chosen)
    # With several judges nothing says which graded what until targets open: then nothing is corrected.
    known = plan.judges[0].calibration if len(plan.judges) == 1 else None
    together = spread((row.unit, _right(row)) for row in chosen)
    effect, freedom = _effect(together, design_effect(together))
    found = None if known is None else corrected(right, n, known, level=plan.level, effect=effect, freedom=freedom)
    if found is None:
        return Found(n, Fraction(0), None, {"calledRight": right}, usable=False)
    # What was empty or cut off no judge was asked about: it counts against the floor all the same.
    usable = _answered(plan, chosen) and _answered(plan, asked)
    return Found(n, found[0], found[1], {"calledRight": right}, usable=usable)


_HOW: Mapping[Described, Callable[[AnalysisPlan, PlannedMeasure, str, Sequence[GradeRow]], Found]] = {
    "brier": _brier,
    "ece": _ece,
    "bias_ambiguous": _bias,
    "bias_disambiguated": _bias,
    "difference": _difference,
    "exposure": _exposure,
    "format_swing": _format_swing,
    "group_gap": _group_gap,
    "judge_corrected": _judge_corrected,
}
_SIGNS = {"stereotyped": 1, "counter": -1, "unknown": 0, "none": 0}


def _of(planned: PlannedMeasure, arm: str, rows: Sequence[GradeRow]) -> list[GradeRow]:
    return scored_rows(rows, arms=(arm,), category=planned.category, group=planned.group)


def _enough(plan: AnalysisPlan, answered: int, n: int) -> bool:
    return n > 0 and answered > 0 and answered >= Fraction(plan.answered_floor) * n


def _answered(plan: AnalysisPlan, chosen: Sequence[GradeRow]) -> bool:
    return _enough(plan, sum(map(_answers_at_all, chosen)), len(chosen))


def _signed_interval(plan: AnalysisPlan, known: Spread, more: int, less: int, n: int) -> Bounds | None:
    even = (Fraction(more + less, n) - known.mean**2) / n if n else None
    effect, freedom = _effect(known, design_effect(known, even))
    return paired(more, less, n, level=plan.level, effect=effect, freedom=freedom)


def _effect(known: Spread, effect: str | None) -> tuple[Fraction, int | None]:
    return Fraction(effect or 1), None if effect is None else max(1, known.units - 1)


def _mean(plan: AnalysisPlan, known: Spread) -> Bounds | None:
    if known.units < 2:  # noqa: PLR2004 - one unit shows no variance
        return None
    return mean_interval(known.mean, known.variance, level=plan.level, units=known.units)


def _doubled(plan: AnalysisPlan, known: Spread) -> Bounds:
    effect, freedom = _effect(known, design_effect(known))
    low, high = score_interval(known.mean, known.n / effect, half_tail(plan.level), freedom=freedom)
    return rounded(2 * Decimal(low) - 1), rounded(2 * Decimal(high) - 1)


def _right(row: GradeRow) -> int:
    return row.value.outcome == "correct"


def _answers(row: GradeRow) -> bool:
    return row.value.bias is not None and row.value.bias.answer != "none"


def _answers_at_all(row: GradeRow) -> int:
    return row.value.outcome in ANSWERED
