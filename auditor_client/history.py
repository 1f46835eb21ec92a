"""What the mirrored log says besides the exchanges: the events a policy waits for, and what was disclosed.

Leaves were checked when they were mirrored; here they are only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from attestations.documents.base import parse_time
from attestations.documents.engagement import CloseStatement, LogReceipt, PolicyEvent, Release, RuntimeStatement
from attestations.log_entries import LogEntry, parse_entry
from attestations.policy.evaluate import Bounds, Seen
from auditor_client.mirror import Mirror

_EXCHANGES = tuple(b'"kind":"%s"}' % kind for kind in (b"promise", b"record", b"session", b"refusal"))


@dataclass
class History:
    """The log's events in order, and the documents an attestation repeats."""

    events: list[Seen] = field(default_factory=list)
    runtimes: dict[str, RuntimeStatement] = field(default_factory=dict)
    releases: set[tuple[str, str]] = field(default_factory=set)
    close: CloseStatement | None = None
    close_digest: str | None = None
    registration_digest: str | None = None
    registration_index: str = "0"
    manifest_digest: str | None = None
    delivered: bool = False


def read_history(mirror: Mirror, *, skew_seconds: int) -> History:
    """Read every leaf that is no exchange."""
    history = History()
    skew = timedelta(seconds=skew_seconds)
    for leaf in mirror.leaves():
        if not leaf.endswith(_EXCHANGES):
            _read(parse_entry(leaf), history, skew)
    return history


def _read(entry: LogEntry, history: History, skew: timedelta) -> None:
    first, last = entry.documents[0], entry.documents[-1]
    receipt = LogReceipt.parse(last.payload)
    at = parse_time(receipt.logged_at)
    name, argument = None, None
    match entry.kind:
        case "registration":
            name, history.registration_digest = "REGISTERED", first.digest
            history.registration_index = receipt.log_index
        case "runtime":
            history.runtimes[first.digest] = RuntimeStatement.parse(first.payload)
        case "close":
            name, history.close = "RUN_CLOSED", CloseStatement.parse(first.payload)
            history.close_digest = first.digest
        case "manifest":
            history.manifest_digest = first.digest
        case "delivery":
            name, history.delivered = "DELIVERED", True
        case "event":
            event = PolicyEvent.parse(first.payload)
            name, argument = event.event, event.argument
        case "release":
            release = Release.parse(first.payload)
            name, argument = "RELEASED", f"{release.content_class}:{release.recipient}"
            history.releases.add((release.content_class, release.recipient))
        case _:
            pass
    if name is not None:
        history.events.append(Seen(name, argument, Bounds(at - skew, at + skew)))
