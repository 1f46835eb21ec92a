"""What a log says has happened, as far as an amendment must not undo it: events, releases and what was used.

Leaves are only read here; whoever keeps a log has checked them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from attestations.documents.base import parse_time
from attestations.documents.engagement import LogReceipt, PolicyEvent, Release
from attestations.documents.exchange import Meter
from attestations.log_entries import LogEntry, parse_entry
from attestations.policy.evaluate import Bounds, Seen

_READ_OFF = {"registration": "REGISTERED", "close": "RUN_CLOSED", "delivery": "DELIVERED"}
RELEASED = "RELEASED"


@dataclass(frozen=True)
class Happened:
    """The events of a log in order, with releases as `RELEASED(class:recipient)`, and what was used so far."""

    events: Sequence[Seen] = ()
    used: Meter | None = None

    @property
    def releases(self) -> tuple[tuple[str, str], ...]:
        """Every (class, recipient) that was released."""
        named = [event.argument.split(":", 1) for event in self.events if event.name == RELEASED and event.argument]
        return tuple((content_class, recipient) for content_class, recipient in named)


def read_happened(leaves: Iterable[bytes], *, skew_seconds: int, used: Meter | None = None) -> Happened:
    """Return what leaves that are no exchange say; leaves of other kinds are passed over."""
    skew = timedelta(seconds=skew_seconds)
    found = (_seen(parse_entry(leaf), skew) for leaf in leaves)
    return Happened(tuple(item for item in found if item is not None), used)


def _seen(entry: LogEntry, skew: timedelta) -> Seen | None:
    name: str | None
    name, argument = _READ_OFF.get(entry.kind), None
    if entry.kind == "event":
        event = PolicyEvent.parse(entry.documents[0].payload)
        name, argument = event.event, event.argument
    elif entry.kind == "release":
        release = Release.parse(entry.documents[0].payload)
        name, argument = RELEASED, f"{release.content_class}:{release.recipient}"
    if name is None:
        return None
    at = parse_time(LogReceipt.parse(entry.documents[-1].payload).logged_at)
    return Seen(name, argument, Bounds(at - skew, at + skew))
