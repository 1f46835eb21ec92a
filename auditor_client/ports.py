"""What an audit needs of the world: a lab at the other end, a journal that survives, and a clock.

Envelopes cross the `Lab` port unopened: whoever asked checks what came back. Every method raises
`LabUnreachable` where no answer came, or the error the lab named.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from attestations.envelope import Envelope
from auditor_client.campaign_state import Ending, Exchange, Held, Item, Pending, Progress, Session, Step


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        ...


class OfferAnswer(NamedTuple):
    """The lab's signature lock and its signature on the proposed agreement."""

    accept: Envelope
    agreement: Envelope


class LabMessage(NamedTuple):
    """What the lab has said in a negotiation, and when by its clock."""

    documents: tuple[Envelope, ...]
    made_at: str


class OpenedSession(NamedTuple):
    """The lab's consent to a session and what runs behind it."""

    grant: Envelope
    runtime: Envelope


class SealedFrame(NamedTuple):
    """One part of a sealed answer as it travels."""

    number: int
    ciphertext: bytes
    final: bool


@dataclass(frozen=True)
class Promised:
    """The lab sent a Promise."""

    envelope: Envelope


@dataclass(frozen=True)
class Refused:
    """The lab sent a signed refusal instead of a Promise."""

    envelope: Envelope


@dataclass(frozen=True)
class Recorded:
    """The lab sent the terminal Record."""

    envelope: Envelope


Answer = Promised | Refused | Recorded | SealedFrame


class Resumed(NamedTuple):
    """Where lab and session stand; `next_seq` is a hint, not evidence."""

    checkpoint: str
    consistency: tuple[bytes, ...]
    next_seq: int


class Proof(NamedTuple):
    """Sibling hashes; the leaf and the root are for the caller to supply."""

    inclusion: tuple[bytes, ...]
    consistency: tuple[bytes, ...]


class Stream(Protocol):
    """One open stream of a session: any number of exchanges, one after another."""

    async def intend(self, intent: Envelope) -> None:
        """Send an Intent."""
        ...

    async def reveal(self, sealed: bytes, seed_share: bytes) -> None:
        """Open the last Intent's commitments; only ever after its Promise was verified."""
        ...

    async def cancel(self, cancel: Envelope) -> None:
        """Withdraw a promised request."""
        ...

    async def receive(self) -> Answer:
        """Return the lab's next message."""
        ...


class Lab(Protocol):
    """Everything an audit asks of a lab."""

    async def terms(self) -> Envelope:
        """Return what the lab would agree to."""
        ...

    async def offer(self, offer: Envelope, consents: Envelope | None = None) -> OfferAnswer | None:
        """Propose an agreement or an amendment; None while a person at the lab decides."""
        ...

    async def accept(self, accept: Envelope, agreement: Envelope) -> Envelope | None:
        """Accept the lab's offer; returns the agreement with both signatures if the lab concludes at once."""
        ...

    async def conclude(self, agreement: Envelope) -> Envelope | None:
        """Bring the agreement into force; returns the receipt of an amendment."""
        ...

    async def withdraw(self, withdrawal: Envelope) -> None:
        """Take our offer off the table."""
        ...

    async def reject(self, rejection: Envelope) -> None:
        """Decline the lab's offer."""
        ...

    async def terminate(self, termination: Envelope) -> Envelope | None:
        """End the agreement; returns the receipt once it stands in the log."""
        ...

    async def negotiation(self, engagement: str, *, start: int) -> Sequence[LabMessage]:
        """Return what the lab has said in a negotiation from its `start`-th message on, at most 8 messages."""
        ...

    async def register(self, registration: Envelope) -> Envelope:
        """Register the suite; returns the receipt."""
        ...

    async def draw(self, draw: Envelope) -> Envelope:
        """Make the registered draw; returns the receipt with the lab's share."""
        ...

    async def open_session(self, opening: Envelope) -> OpenedSession:
        """Open a session, or get its grant again."""
        ...

    def exchange(self) -> AbstractAsyncContextManager[Stream]:
        """Open a stream of exchanges."""
        ...

    async def resume(self, *, agreement: str, session: str, checkpoint: str) -> Resumed:
        """Show the last cosigned checkpoint ("" if none) and learn where things stand."""
        ...

    def redeliver(self, *, agreement: str, session: str, seq: int) -> AsyncGenerator[SealedFrame, None]:
        """Get the frames of a finished exchange again."""
        ...

    async def runtime(self, agreement: str) -> Envelope:
        """Return the runtime statement that new Intents must name."""
        ...

    async def checkpoint(self, agreement: str) -> str:
        """Return the lab's present checkpoint with the cosignatures it holds."""
        ...

    async def proof(self, *, agreement: str, leaf: int, size: int, old_size: int) -> Proof:
        """Return proofs for one leaf, and from `old_size` (0: none), within the tree of `size` leaves."""
        ...

    def leaves(self, *, agreement: str, start: int) -> AsyncGenerator[bytes, None]:
        """Give the log's leaves from `start`, as the exact bytes that were hashed; closing it ends the call."""
        ...

    async def cosign(self, *, agreement: str, checkpoint: str) -> None:
        """Hand over a cosigned checkpoint."""
        ...

    async def close(self, agreement: str) -> Envelope:
        """End the run; returns the close statement with the lab's signature."""
        ...

    async def confirm_close(self, close: Envelope) -> Envelope:
        """Hand over the close statement with both signatures; returns the receipt."""
        ...

    async def commit_grades(self, grades: Envelope) -> Envelope:
        """Fix every grade; returns the receipt."""
        ...

    async def deliver(self, manifest: Envelope, blocks: AsyncIterator[bytes]) -> Envelope:
        """Deliver the sealed packages, at most 512 KiB a block; returns the lab's delivery receipt."""
        ...

    async def state(self, event: Envelope) -> Envelope:
        """Put a statement into the log; returns the receipt."""
        ...

    async def notify(self, notice: Envelope, content: bytes) -> Envelope:
        """Give notice of an emergency and hand over what it shows; returns the receipt."""
        ...

    async def escrow(self, document: Envelope) -> Envelope:
        """Log a manifest of escrow, or a holder's receipt; returns the lab's receipt."""
        ...

    async def release(self, release: Envelope) -> Envelope:
        """Log a release; returns the receipt."""
        ...

    async def acknowledge(self, *, agreement: str, attestation: str) -> Envelope:
        """Ask the lab to acknowledge an attestation's transcript facts."""
        ...


class Journal(Protocol):
    """The auditor's memory. Each method is one transaction and returns once it is durable."""

    async def remember(self, name: str, value: bytes) -> None:
        """Keep a value under a name; a later one replaces it."""
        ...

    async def remember_new(self, values: Mapping[str, bytes]) -> bool:
        """Keep values under new names in one step, or return False and keep none if one is taken."""
        ...

    def recall(self, name: str) -> bytes | None:
        """Return the value under a name."""
        ...

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with `prefix`, sorted."""
        ...

    async def schedule(self, items: Sequence[Item]) -> None:
        """Put items on the schedule, in order; those already there stay as they are."""
        ...

    def items(self) -> Sequence[Item]:
        """Return every item in the order of the schedule."""
        ...

    def auxiliary(self, purpose: str) -> Sequence[Item]:
        """Return the items of a purpose whose Intents were ever durable, by number; they are on no schedule."""
        ...

    async def begin_session(self, session: Session) -> None:
        """Keep a session; granting it replaces it."""
        ...

    def sessions(self) -> Sequence[Session]:
        """Return every session, in the order they were begun."""
        ...

    async def turn(self, ended: Ending | None, intended: Pending | None) -> None:
        """End one exchange and begin the next, in one step."""
        ...

    def pending(self, session: str) -> Pending | None:
        """Return the session's exchange that has begun and not ended."""
        ...

    def held(self, session: str, seq: int) -> Held | None:
        """Return what was signed at a place of a session, so far."""
        ...

    def exchanges(self) -> AsyncIterator[Exchange]:
        """Give every finished exchange, by session and sequence number."""
        ...

    def finished(self, session: str, seq: int) -> Exchange | None:
        """Return the finished exchange at a place."""
        ...

    def answers(self, item: Item) -> Sequence[bytes]:
        """Return the answers of the item's present attempt, in the order of its steps."""
        ...

    def steps(self, task: int, arm: str, epoch: int) -> Sequence[Step]:
        """Return every finished exchange that was promised for an item, by attempt and step."""
        ...

    def progress(self) -> Progress:
        """Return how far the schedule is."""
        ...
