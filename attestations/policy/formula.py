"""The formulas of a policy: monotone (and/or, never not) over events and times.

RUN_CLOSED                     the event is in the log
LAB_CONSENT(C2)                the event with this argument; `*` matches any
RUN_CLOSED + P5BD              five business days after the event
TIME(anchor+P20BD+hold)        twenty business days after the policy's anchor event, later by any hold
TIME(2027-01-31T00:00:00Z)     an instant
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

EVENTS = frozenset(
    {
        "ADJUDICATED",
        "ALREADY_PUBLIC",
        "AUDITOR_CONSENT",
        "DELIVERED",
        "EMERGENCY",
        "LAB_CONSENT",
        "MARKET_PLACEMENT",
        "NO_RESPONSE",
        "ORDER",
        "REGISTERED",
        "REMEDIATION_CONFIRMED",
        "RUN_CLOSED",
        "STAGE_DONE",
    }
)
# These happen in every audit that is not abandoned; nobody can withhold them to block a release for ever.
CERTAIN_EVENTS = frozenset({"DELIVERED", "REGISTERED", "RUN_CLOSED"})
MAX_FORMULA_DEPTH = 8

_DURATION = re.compile(r"P(?:(?P<business>\d{1,4})BD|(?P<days>\d{1,5})D|T(?P<seconds>\d{1,9})S)", re.ASCII)
_EVENT = re.compile(r"(?P<name>[A-Z][A-Z_]*)(?:\((?P<argument>[A-Za-z0-9._:*-]{1,64})\))?", re.ASCII)
_INSTANT = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True)
class Duration:
    """A span in business days, days or seconds; exactly one of them is not zero, or all are."""

    business_days: int = 0
    days: int = 0
    seconds: int = 0


@dataclass(frozen=True)
class Event:
    """True once the event is in the log."""

    name: str
    argument: str | None


@dataclass(frozen=True)
class After:
    """True once `duration` (and any hold, if `hold`) has passed since `base`."""

    base: Event | datetime | None  # None is the policy's anchor event
    duration: Duration
    hold: bool


@dataclass(frozen=True)
class AllOf:
    """True when every part is."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class AnyOf:
    """True when some part is."""

    parts: tuple[Formula, ...]


Formula = Event | After | AllOf | AnyOf


def atoms(formula: Formula) -> Iterator[Event | After]:
    """Give every event and time of a formula, and the event each time counts from."""
    match formula:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from atoms(part)
        case Event():
            yield formula
        case After():
            yield formula
            if isinstance(formula.base, Event):
                yield formula.base


def parse_formula(value: Any, *, depth: int = 0) -> Formula:
    """Read a formula from JSON: a string, `{"and": [...]}` or `{"or": [...]}`.

    Raises:
        ValueError: it is none of these (a model turns it into an error that names the field).
    """
    if depth > MAX_FORMULA_DEPTH:
        raise ValueError("a formula nested too deeply")
    if isinstance(value, str):
        return _parse_atom(value)
    if isinstance(value, dict) and len(value) == 1:
        ((word, parts),) = value.items()
        if word in ("and", "or") and isinstance(parts, (list, tuple)) and 1 <= len(parts) <= 16:  # noqa: PLR2004
            read = tuple(parse_formula(part, depth=depth + 1) for part in parts)
            return AllOf(read) if word == "and" else AnyOf(read)
    raise ValueError("neither an atom nor one of and/or")


def parse_duration(text: str) -> Duration:
    """Read `PnBD` (business days), `PnD` or `PTnS`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is PnBD, PnD or PTnS")
    return Duration(
        business_days=int(match["business"] or 0), days=int(match["days"] or 0), seconds=int(match["seconds"] or 0)
    )


@lru_cache(maxsize=1024)
def _parse_atom(text: str) -> Formula:
    if text.startswith("TIME(") and text.endswith(")"):
        base, *rest = text[len("TIME(") : -1].split("+")
        hold = rest[-1:] == ["hold"]
        durations = rest[:-1] if hold else rest
        if len(durations) > 1:
            raise ValueError("at most one duration in a TIME")
        return After(
            base=_parse_base(base), duration=parse_duration(durations[0]) if durations else Duration(), hold=hold
        )
    event, separator, duration = text.partition(" + ")
    if separator:
        return After(base=_parse_event(event), duration=parse_duration(duration), hold=False)
    return _parse_event(text)


def _parse_base(text: str) -> Event | datetime | None:
    if text == "anchor":
        return None
    if _INSTANT.fullmatch(text):
        return datetime.fromisoformat(text)
    return _parse_event(text)


def _parse_event(text: str) -> Event:
    match = _EVENT.fullmatch(text)
    if match is None or match["name"] not in EVENTS:
        raise ValueError("an unknown event")
    return Event(match["name"], match["argument"])
