"""A negotiation as it is kept: every message in order with the time it was taken, and nothing else.

The thread follows from the entries alone, so a restart, another process and a person with a listing all see the
same. A step is decided, added only if nobody added another in between, and shown to the other side afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from attestations.documents.agreement import Agreement
from attestations.documents.base import format_time, parse_time
from attestations.envelope import Envelope, parse_envelope
from attestations.negotiation.acceptable import check_acceptable
from attestations.negotiation.amending import check_amendment
from attestations.negotiation.happened import Happened
from attestations.negotiation.messages import (
    Accepted,
    Concluded,
    Message,
    Offered,
    Side,
    Sides,
    documents_of,
    parse_message,
)
from attestations.negotiation.thread import Thread, apply, drop, settle
from attestations.policy.evaluate import Bounds

DROPPED, EXPIRED = "dropped", "expired"


class Entry(NamedTuple):
    """One step: by whom, when it was taken, and its signed documents; `note` is a drop or an expiry instead."""

    by: Side
    at: str
    documents: tuple[bytes, ...]
    note: str = ""

    def to_bytes(self) -> bytes:
        """Return the entry as it is kept."""
        texts = [document.decode() for document in self.documents]
        return json.dumps({"at": self.at, "by": self.by, "documents": texts, "note": self.note}).encode()

    def message(self, sides: Sides) -> Message:
        """Return the message of an entry that is not a note."""
        return parse_message(self.by, [parse_envelope(document) for document in self.documents], sides)


def parse_kept(data: bytes) -> Entry:
    """Return an entry that this side wrote."""
    value = json.loads(data)
    return Entry(value["by"], value["at"], tuple(text.encode() for text in value["documents"]), value["note"])


class Ledger(Protocol):
    """Where one negotiation's entries are kept."""

    async def entries(self) -> Sequence[Entry]:
        """Return every entry in order."""
        ...

    async def add(self, position: int, entries: Sequence[Entry], concluded: Envelope | None) -> bool:
        """Keep entries from `position` on, durably, or return False if another step took that place.

        `concluded` is a first agreement that comes into force with them.
        """
        ...


@dataclass(frozen=True)
class Talk:
    """One negotiation of one side: whose keys, where it is kept, and what its log says if an agreement is in force."""

    sides: Sides
    ledger: Ledger
    happened: Callable[[Thread], Awaitable[Happened | None]]


class Stand(NamedTuple):
    """A thread and the entries it follows from."""

    thread: Thread
    entries: tuple[Entry, ...]


Decide = Callable[[Thread, datetime], Sequence[Message]]


async def stand(talk: Talk, now: datetime) -> Stand:
    """Return where a negotiation stands at `now`."""
    entries = tuple(await talk.ledger.entries())
    return Stand(settle(replay(entries, talk.sides), now), entries)


def replay(entries: Sequence[Entry], sides: Sides) -> Thread:
    """Return the thread that follows from entries; they were judged when they were taken."""
    thread = Thread()
    for entry in entries:
        if entry.note == EXPIRED:
            continue
        if entry.note:
            thread = drop(thread, entry.note.partition(" ")[2])
            continue
        thread = apply(thread, entry.message(sides), parse_time(entry.at))
    return thread


async def step(talk: Talk, decide: Decide, now: datetime) -> Stand:
    """Take the messages that `decide` makes of the thread; own and foreign ones are held to the same rules.

    Raises:
        What `apply` and `judge` raise; then nothing was kept.
    """
    while True:
        entries = tuple(await talk.ledger.entries())
        kept = replay(entries, talk.sides)
        thread = settle(kept, now)
        added = [] if thread == kept else [Entry("lab", format_time(now), (), EXPIRED)]
        concluded = None
        happened = None if thread.in_force is None else await talk.happened(thread)
        for message in decide(thread, now):
            after = apply(thread, message, now)
            if after == thread:
                continue
            judge(thread, message, happened, now)
            if isinstance(message, Concluded) and thread.first is None:
                concluded = message.envelope
            added.append(entry_of(message, now))
            thread = after
        if not any(entry.documents for entry in added):
            return Stand(thread, entries)
        if await talk.ledger.add(len(entries), added, concluded):
            return Stand(thread, (*entries, *added))


async def give_up(talk: Talk, digest: str, now: datetime) -> None:
    """Note that the other side refused an offer or an amendment of ours, so that nothing is built on it."""
    while True:
        entries = tuple(await talk.ledger.entries())
        thread = replay(entries, talk.sides)
        if drop(thread, digest) == thread:
            return
        if await talk.ledger.add(len(entries), [Entry("auditor", format_time(now), (), f"{DROPPED} {digest}")], None):
            return


def entry_of(message: Message, now: datetime) -> Entry:
    """Return a message as it is kept."""
    return Entry(message.by, format_time(now), tuple(item.to_bytes() for item in documents_of(message)))


def judge(thread: Thread, message: Message, happened: Happened | None, now: datetime) -> None:
    """Refuse an agreement nobody should sign, whoever offers it.

    Raises:
        PolicyUnsatisfiable: its policy breaks a rule of the linter.
        ProtectedClauseViolation, AmendmentRetroactive, SizeLimitExceeded: as `check_amendment` says.
    """
    match message:
        case Offered():
            body, consenting = message.offer.body, message.consenting
        case Concluded():
            body, consenting = message.agreement, message.consenting
        case Accepted() if thread.table is not None:
            body, consenting = thread.table.offer.body, thread.table.consenting
        case _:
            return
    check_acceptable(body)
    if thread.in_force is not None:
        check_amendment(thread.in_force, body, consenting=consenting, happened=happened, at=bounds(body, now))


def bounds(agreement: Agreement, now: datetime) -> Bounds:
    """Return the bounds of an instant under an agreement's tolerated skew."""
    skew = timedelta(seconds=agreement.timing.skew_seconds)
    return Bounds(now - skew, now + skew)
