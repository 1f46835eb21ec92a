"""Two sides of a negotiation with real keys and a ledger each: what they keep is all that survives a crash."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from attestations.documents.agreement import Agreement
from attestations.envelope import Envelope
from attestations.negotiation.happened import Happened
from attestations.negotiation.ledger import Entry, Stand, Talk, parse_kept, stand, step
from attestations.negotiation.messages import Message, Side, Sides, documents_of, open_message
from attestations.negotiation.speaking import Voice, until
from attestations.negotiation.thread import Thread
from tests.support.world_agreement import agreement, keys

T = TypeVar("T")
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


def drive(step_: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits."""
    try:
        step_.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def sides() -> Sides:
    """Return both sides' agreement keys."""
    made = keys()
    return Sides(made.lab_agreement.key, made.agreement.key, (made.lab_record.key, made.exchange.key))


@dataclass
class MemoryLedger:
    """Entries as bytes."""

    kept: list[bytes] = field(default_factory=list)

    async def entries(self) -> Sequence[Entry]:
        return [parse_kept(data) for data in self.kept]

    async def add(self, position: int, entries: Sequence[Entry], concluded: Envelope | None) -> bool:
        if position != len(self.kept):
            return False
        self.kept += [entry.to_bytes() for entry in entries]
        return True


class Endpoint:
    """One side; `say` keeps and returns a message, `hear` takes one as it came off the wire."""

    def __init__(self, side: Side, ledger: MemoryLedger | None = None) -> None:
        self.side: Side = side
        self.ledger = ledger or MemoryLedger()
        self.happened = Happened()
        signer = keys().lab_agreement if side == "lab" else keys().agreement
        self.voice = Voice(side, signer, sides())
        self.talk = Talk(sides(), self.ledger, self._happened)

    async def _happened(self, thread: Thread) -> Happened:
        return self.happened

    def at(self, now: datetime = NOW) -> Stand:
        return drive(stand(self.talk, now))

    @property
    def thread(self) -> Thread:
        return self.at().thread

    def say(self, message: Message, now: datetime = NOW) -> tuple[bytes, ...]:
        """Keep a message of ours, then put it on the wire."""
        drive(step(self.talk, lambda *_: [message], now))
        return on_wire(message)

    def hear(self, wire: Sequence[bytes], now: datetime = NOW) -> None:
        """Open and take what came off the wire."""
        other: Side = "auditor" if self.side == "lab" else "lab"
        message = open_message(other, [_read(data) for data in wire], sides())
        drive(step(self.talk, lambda *_: [message], now))

    def offer(self, body: Agreement, *, hours: float = 1, now: datetime = NOW, consents: Envelope | None = None) -> Any:
        return self.say(self.voice.offer(self.at(now).thread, body, until(now, hours), consents), now)

    def accept(self, now: datetime = NOW) -> Any:
        return self.say(self.voice.accept(self.at(now).thread), now)

    def conclude(self, now: datetime = NOW) -> Any:
        return self.say(self.voice.conclude(self.at(now).thread), now)

    def crashed(self) -> Endpoint:
        """Return this side as it starts again: from what it kept, and nothing else."""
        again = Endpoint(self.side, MemoryLedger(list(self.ledger.kept)))
        again.happened = self.happened
        return again


def on_wire(message: Message) -> tuple[bytes, ...]:
    """Return a message as it travels."""
    return tuple(item.to_bytes() for item in documents_of(message))


def _read(data: bytes) -> Envelope:
    from attestations.envelope import parse_envelope

    return parse_envelope(data)


def body(number: int = 0, **changes: Any) -> Agreement:
    """Return one of several agreements."""
    budget = {
        "requests": str(1000 + number),
        "inputTokens": "100000000",
        "outputTokens": "100000000",
        "crashes": 2,
        "unrevealed": 4,
    }
    return agreement(budget=budget, **changes)


def agreed(number: int = 0, first: Agreement | None = None) -> tuple[Endpoint, Endpoint]:
    """Return auditor and lab with an agreement in force, offered by the auditor."""
    auditor, lab = Endpoint("auditor"), Endpoint("lab")
    lab.hear(auditor.offer(first or body(number)))
    auditor.hear(lab.accept())
    lab.hear(auditor.conclude())
    return auditor, lab
