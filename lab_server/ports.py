"""What the lab's use cases need of the world: a store whose methods are transactions, and a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from attestations.documents.exchange import Response, Router, SafetyLayer, Usage
from attestations.documents.hooks import HookStatement


class StoredLeaf(NamedTuple):
    """One leaf of a log; `session` and `seq` name the exchange it belongs to, if any."""

    position: int
    kind: str
    session: str | None
    seq: int | None
    data: bytes


class StoredFrame(NamedTuple):
    """One sealed frame of an answer."""

    number: int
    ciphertext: bytes
    final: bool


class StoredAgreement(NamedTuple):
    """An agreement in force, signed by both sides."""

    digest: str
    envelope: bytes


class StoredWish(NamedTuple):
    """What a person at the lab has decided and only the holder of the log can do; `answer` says how it ended.

    `name` is the auditor's and the engagement's, as no two auditors may meet in it.
    """

    name: str
    wish: bytes
    answer: str | None


class NewFrames(NamedTuple):
    """The frames of one answer and the time until which they can be sent again."""

    session: str
    seq: int
    frames: Sequence[StoredFrame]
    until: str


class Equivocation(NamedTuple):
    """Two signed envelopes that claim one place of a session."""

    session: str
    seq: int
    first: bytes
    second: bytes


class Store(Protocol):
    """The lab's memory. Each method is one transaction and returns once it is durable, or raises `StoreFailed`."""

    async def add_entries(
        self, name: str, position: int, entries: Sequence[bytes], agreement: StoredAgreement | None = None
    ) -> bool:
        """Keep steps of one negotiation from `position` on, and with them an agreement that comes into force.

        Returns False, and changes nothing, if that is not the next place: another process was faster.
        """
        ...

    async def entries(self, name: str) -> list[bytes]:
        """Return every step of one negotiation in order."""
        ...

    async def negotiations(self) -> list[str]:
        """Return the names of all negotiations."""
        ...

    async def save_terms(self, auditor: str, terms: bytes) -> None:
        """Keep the terms one auditor is offered."""
        ...

    async def terms(self, auditor: str) -> bytes | None:
        """Return the terms one auditor was last offered."""
        ...

    async def save_wish(self, wish: StoredWish) -> None:
        """Keep what a person has decided, or how it ended, replacing what was kept for the negotiation."""
        ...

    async def wishes(self) -> list[StoredWish]:
        """Return every wish, answered or not."""
        ...

    async def agreements(self) -> list[StoredAgreement]:
        """Return every agreement in force."""
        ...

    def append(self, agreement: str, leaf: StoredLeaf, frames: NewFrames | None = None) -> Awaitable[None]:
        """Add the next leaf of a log, and with it the frames of the answer it ends.

        The leaf takes its turn at once, before anything is awaited; a leaf that would leave a gap fails.
        """
        ...

    async def save_closing(self, agreement: str, statement: bytes) -> None:
        """Keep our close statement until both have signed it."""
        ...

    async def closing(self, agreement: str) -> bytes | None:
        """Return our close statement, if we made one."""
        ...

    def leaves(self, agreement: str, start: int) -> AsyncIterator[StoredLeaf]:
        """Give a log's leaves from `start` in order."""
        ...

    async def steps(self, agreement: str) -> list[StoredLeaf]:
        """Return the leaves of a log that belong to no exchange, in order."""
        ...

    async def exchange(self, agreement: str, session: str, seq: int) -> list[StoredLeaf]:
        """Return the leaves of one exchange in order."""
        ...

    async def frames(self, agreement: str, session: str, seq: int, *, now: str) -> list[StoredFrame]:
        """Return the frames of one answer, or none once their time has passed."""
        ...

    async def purge_frames(self, *, now: str) -> int:
        """Forget every frame whose time has passed and return how many there were."""
        ...

    async def save_cosigned(self, agreement: str, size: int, note: str) -> None:
        """Keep a cosigned checkpoint; the largest is what a restart is held against."""
        ...

    async def cosigned(self, agreement: str) -> str | None:
        """Return the largest cosigned checkpoint."""
        ...

    async def draw_share(self, agreement: str, fresh: bytes) -> bytes:
        """Return our share of an agreement's draw: `fresh`, kept before it is returned, unless one is kept already."""
        ...

    async def save_equivocation(self, agreement: str, equivocation: Equivocation) -> None:
        """Keep two signed messages that claim one place: evidence against their signer; one pair a place is enough."""
        ...

    async def equivocations(self, agreement: str) -> list[Equivocation]:
        """Return every kept pair, in the order they were kept."""
        ...

    async def save_package(self, agreement: str, name: str, data: AsyncIterator[bytes]) -> None:
        """Keep the ciphertext of one sealed package, replacing an unfinished one; nothing if `data` raises."""
        ...

    def package(self, agreement: str, name: str) -> Iterator[bytes]:
        """Give the bytes of one sealed package; blocks, so it is read in a thread of its own.

        Raises:
            EvidenceMissing: it is not kept.
        """
        ...


@dataclass(frozen=True)
class ServedVariant:
    """One variant a worker serves."""

    id: str
    manifest: str
    template: str
    operations: tuple[str, ...]
    max_top_logprobs: int
    tools: bool


@dataclass(frozen=True)
class WorkerKeys:
    """The public side of what a worker made for one agreement, and what runs there."""

    boot: str
    hpke_public: bytes
    worker_public: bytes
    backend: str
    image: str
    variants: tuple[ServedVariant, ...]
    report_format: str | None
    report: bytes | None


@dataclass(frozen=True)
class Job:
    """One sealed request for the worker."""

    agreement: str
    session: str
    seq: int
    variant: str
    operation: str
    tools: bool
    evidence: str
    sealed: bytes
    plaintext_commit: str
    sampling: bytes
    seed: int
    max_input_tokens: int
    deadline_seconds: float


@dataclass(frozen=True)
class JobOutcome:
    """How a request ended in the worker."""

    status: str
    code: str | None
    response: Response | None
    finish_reason: str | None
    usage: Usage
    decode_config: str | None
    manifest: str
    router: Router
    safety: SafetyLayer
    fingerprint: str | None
    hook: HookStatement | None = None


class Worker(Protocol):
    """The only place where a prompt is plain; always another process."""

    @property
    def boot(self) -> str | None:
        """The name of the running boot, or None while no worker runs."""
        ...

    def refuses(self, hook: str) -> str | None:
        """Return why a hook is declined here, in the lab's own words, or None where it is not."""
        ...

    async def enrol(self, agreement: str) -> WorkerKeys:
        """Return the keys of one agreement in the running boot.

        Raises:
            WorkerUnavailable: no worker runs.
        """
        ...

    def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Give the sealed frames as they come, then exactly one outcome.

        Raises:
            WorkerUnavailable: the worker went away; what it did is not known.
        """
        ...

    async def forget(self, agreement: str) -> None:
        """Have the keys of one agreement destroyed."""
        ...


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        ...
