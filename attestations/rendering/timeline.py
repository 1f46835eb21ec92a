"""A simulation as a picture: where each bar, tick and mark stands. Pure numbers; a template draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from attestations.policy.evaluate import RELEASED, SHOWN, State
from attestations.policy.simulate import Simulation, Span
from attestations.policy.words import recipient_words

LEFT, RIGHT, ROW, TOP = 250, 990, 24, 46
_TICKS, _DAY = 5, 86_400
_LEGENDS, _LEGEND_WIDTH, _LEGEND_HEIGHT = 3, 250, 20  # in one line, and of each
_LONGEST_LABEL = 36  # what fits to the left of the bars; the tables beside a picture say it whole
_LABELLED = 44  # a narrower bar holds no word
NAMES = {
    State.FORBIDDEN: "sealed",
    State.INDETERMINATE: "unsure",
    State.PERMITTED: "may",
    State.OVERDUE: "overdue",
    State.RELEASED: "released",
}


TERMS = NAMES | {State.OVERDUE: "must"}  # where nothing has happened yet, nothing is overdue either
_LEGEND = {
    "sealed": "not yet",
    "unsure": "within the clock skew",
    "may": "may be given",
    "must": "must have been given",
    "overdue": "owed and not given",
    "released": "has been given",
}


@dataclass(frozen=True)
class Bar:
    """One state of one row."""

    x: float
    width: float
    kind: str
    label: str
    title: str


@dataclass(frozen=True)
class Row:
    """One class and recipient."""

    y: int
    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Mark:
    """A point in time with its words."""

    x: float
    label: str


@dataclass(frozen=True)
class Key:
    """One sign of the legend and its words."""

    x: int
    y: int
    kind: str
    words: str


@dataclass(frozen=True)
class Picture:
    """Everything the drawing needs."""

    width: int
    height: int
    top: int
    bottom: int
    rows: tuple[Row, ...]
    ticks: tuple[Mark, ...]
    events: tuple[Mark, ...]
    legend: tuple[Key, ...]


def picture(simulation: Simulation, names: Mapping[State, str] = NAMES) -> Picture:
    """Return where everything stands; `names` are the words for the states."""
    start, end = simulation.start, simulation.end
    length = max((end - start).total_seconds(), 1.0)

    def place(moment: datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * ((min(moment, end) - start).total_seconds() / length), 1)

    def bar(span: Span) -> Bar:
        x = place(span.start)
        width = round(max(place(span.end) - x, 0.5), 1)
        name = names[span.state]
        return Bar(x, width, name, name if width >= _LABELLED else "", f"{name} from {day(span.start)}")

    rows = tuple(
        Row(
            TOP + number * ROW,
            _short(f"{track.content_class} to {recipient_words(track.to)}"),
            tuple(map(bar, track.spans)),
        )
        for number, track in enumerate(simulation.tracks)
    )
    bottom = TOP + len(rows) * ROW
    step = timedelta(seconds=length / _TICKS)
    label = day if length >= _TICKS * _DAY else _hour
    ticks = tuple(Mark(place(start + step * number), label(start + step * number)) for number in range(_TICKS + 1))
    events = tuple(
        Mark(place(event.at.upper), event_label(event.name, event.argument))
        for event in simulation.events
        if event.name not in (RELEASED, SHOWN) and event.at.upper <= end
    )
    shown = {bar.kind for row in rows for bar in row.bars}
    legend = tuple(
        Key(LEFT + number % _LEGENDS * _LEGEND_WIDTH, bottom + 32 + number // _LEGENDS * _LEGEND_HEIGHT, kind, words)
        for number, (kind, words) in enumerate((kind, words) for kind, words in _LEGEND.items() if kind in shown)
    )
    lines = -(-len(legend) // _LEGENDS)
    return Picture(1000, bottom + 40 + lines * _LEGEND_HEIGHT, TOP, bottom, rows, ticks, events, legend)


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def day(moment: datetime) -> str:
    """Return a date, e.g. `12 Jan 2027`."""
    return f"{moment.day} {moment:%b %Y}"


def _hour(moment: datetime) -> str:
    return f"{moment.day} {moment:%b, %H:%M}"


def event_label(name: str, argument: str | None) -> str:
    """Return an event as a policy writes it."""
    return name if argument is None else f"{name}({argument})"
