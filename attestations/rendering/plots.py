"""Plots as coordinates: the template draws them, a reader without pictures has the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from attestations.predicate import Measure, Result
from attestations.reading import VERDICTS, Swing

LEFT, RIGHT, TOP, ROW = 215, 665, 14, 34
OUTCOMES = ("correct", "incorrect", "refused", "invalid", "empty", "truncated", "error")
_TONES = {"ruledOut": "good", "ruledIn": "bad", "inconclusive": "plain", "uninterpretable": "void"}
_LONGEST = 28  # characters
_LABELLED = 28  # narrower parts of a bar hold no number


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Span:
    """One interval: its place, its ends, its point, the registered thresholds, and its numbers in words."""

    y: float
    label: str
    low: float
    high: float
    at: float
    out: float | None
    in_: float | None
    tone: str
    said: str


@dataclass(frozen=True)
class Forest:
    """Intervals under each other on one axis."""

    width: int
    height: int
    top: int
    bottom: int
    zero: float | None
    ticks: tuple[Tick, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Piece:
    """One outcome's part of a bar."""

    x: float
    width: float
    kind: str
    label: str
    said: str


@dataclass(frozen=True)
class Bars:
    """How the items of each figure ended."""

    width: int
    height: int
    rows: tuple[tuple[float, str, tuple[Piece, ...]], ...]
    legend: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Dot:
    """A bin of a reliability diagram, sized by how many answers fall into it."""

    x: float
    y: float
    r: float
    said: str


@dataclass(frozen=True)
class Strip:
    """Shares of several formats on one axis, and where their mean lies."""

    width: int
    height: int
    ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    mean: float


def forest(results: Sequence[tuple[str, Result]]) -> Forest:
    """Return labelled figures as a plot from 0 to 1."""
    spans = []
    for number, (label, result) in enumerate(results):
        low, high = result.interval
        spans.append(
            Span(
                y=TOP + number * ROW + ROW / 2,
                label=label,
                low=_place(low),
                high=_place(high),
                at=_place(result.value),
                out=None if result.rule_out is None else _place(result.rule_out),
                in_=None if result.rule_in is None else _place(result.rule_in),
                tone=_TONES[result.verdict],
                said=f"{percent(result.value)} ({percent(low)} to {percent(high)}) {VERDICTS[result.verdict]}",
            )
        )
    return _forest(spans, [Tick(_place(Decimal(tenth) / 10), f"{tenth * 10} %") for tenth in range(0, 11, 2)], None)


def signed_forest(measures: Sequence[tuple[str, Measure]]) -> Forest:
    """Return labelled measures from -1 to 1 as a plot whose middle is "no difference"."""
    spans = []
    for number, (label, measure) in enumerate(measures):
        low, high = measure.interval or (measure.value, measure.value)
        words = (
            f"{points(measure.value)} ({points(low)} to {points(high)})" if measure.interval else points(measure.value)
        )
        spans.append(
            Span(
                y=TOP + number * ROW + ROW / 2,
                label=label,
                low=_middle(low),
                high=_middle(high),
                at=_middle(measure.value),
                out=None,
                in_=None,
                tone="plain" if measure.interpretable else "void",
                said=words if measure.interpretable else "uninterpretable",
            )
        )
    return _signed(spans)


def differences(items: Sequence[tuple[str, str, tuple[str, str]]]) -> Forest:
    """Return labelled differences of shares, each with its interval, as a plot whose middle is "no difference"."""
    return _signed(
        [
            Span(
                y=TOP + number * ROW + ROW / 2,
                label=label,
                low=_middle(low),
                high=_middle(high),
                at=_middle(value),
                out=None,
                in_=None,
                tone="plain",
                said=f"{points(value)} ({points(low)} to {points(high)})",
            )
            for number, (label, value, (low, high)) in enumerate(items)
        ]
    )


def bars(results: Sequence[tuple[str, Result]]) -> Bars:
    """Return how the items of labelled figures ended, as bars of equal length."""
    rows, shown = [], set()
    for number, (label, result) in enumerate(results):
        counts = {name: int(count) for name, count in result.outcomes.model_dump().items()}
        total, x, pieces = sum(counts.values()) or 1, float(LEFT), []
        for kind in OUTCOMES:
            width = round((RIGHT - LEFT) * counts[kind] / total, 1)
            if counts[kind]:
                shown.add(kind)
                text = str(counts[kind]) if width >= _LABELLED else ""
                pieces.append(Piece(round(x, 1), width, kind, text, f"{kind}: {counts[kind]} of {total}"))
            x += width
        rows.append((4.0 + number * ROW, label, tuple(pieces)))
    kinds = [kind for kind in OUTCOMES if kind in shown]
    legend = tuple((LEFT + place * 105.0, kind) for place, kind in enumerate(kinds))
    return Bars(1000, len(rows) * ROW + 34, tuple(rows), legend)


def reliability(parts: Mapping[str, str], size: int = 300) -> tuple[Dot, ...]:
    """Return the bins of an expected calibration error as dots in a square; on the diagonal words and facts agree."""
    found = []
    bins = {name.split("/")[0] for name in parts if name.endswith("/n")}
    most = max((float(parts[f"{name}/n"]) for name in bins), default=1)
    for name in sorted(bins):
        count, sure, right = (float(parts[f"{name}/{part}"]) for part in ("n", "confidence", "correct"))
        said = f"{count:.0f} answers, {sure:.0%} sure, {right:.0%} correct"
        found.append(
            Dot(round(sure * size, 1), round((1 - right) * size, 1), round(3 + 7 * (count / most) ** 0.5, 1), said)
        )
    return tuple(found)


def strip(swing: Swing) -> Strip:
    """Return the formats of a swing as dots on an axis."""
    dots, measure = [], swing.measure
    for number, (name, value, _) in enumerate(reversed(swing.shares)):
        dots.append(Dot(_place(value), 26 + 9 * (number % 4), 5, f"{name}: {percent(value)}"))
    ticks = tuple(Tick(_place(Decimal(tenth) / 10), f"{tenth * 10} %") for tenth in range(0, 11, 2))
    return Strip(1000, 92, ticks, tuple(dots), _place(measure.parts.get("mean", "0")))


_ENDS = (Decimal(0), Decimal(100))


def percent(value: str | Decimal) -> str:
    """Return a share in per cent: with one place, or as many as tell it from none and from all."""
    exact = Decimal(value) * 100
    texts = (f"{exact:.{places}f}" for places in range(1, 13))
    shown = next((text for text in texts if exact in _ENDS or Decimal(text) not in _ENDS), f"{exact}")
    return f"{shown}\u00a0%"


def points(value: str | Decimal) -> str:
    """Return a difference of shares in points, with its sign."""
    text = f"{Decimal(value) * 100:+.1f}"
    return "0.0" if Decimal(text) == 0 else text.replace("-", "\u2212")


def short(label: str) -> str:
    """Return a label as it fits beside a plot: a long one without its middle, for its ends tell it from others."""
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST // 2]}…{label[-(_LONGEST // 2 - 1) :]}"


def _forest(spans: Sequence[Span], ticks: Sequence[Tick], zero: float | None) -> Forest:
    bottom = TOP + len(spans) * ROW
    return Forest(1000, bottom + 26, TOP, bottom, zero, tuple(ticks), tuple(spans))


def _signed(spans: Sequence[Span]) -> Forest:
    ticks = [Tick(_middle(Decimal(half) / 2), points(Decimal(half) / 2)) for half in range(-2, 3)]
    return _forest(spans, ticks, _middle("0"))


def _place(value: str | Decimal) -> float:
    return round(LEFT + (RIGHT - LEFT) * float(min(Decimal(1), max(Decimal(0), Decimal(value)))), 1)


def _middle(value: str | Decimal) -> float:
    return _place((Decimal(value) + 1) / 2)
