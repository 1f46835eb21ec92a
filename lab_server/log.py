"""The log of one agreement: leaves get their place here, are signed by the lab, and count once they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from attestations.checkpoint import Checkpoint, cosignature_time, open_checkpoint, sign_checkpoint
from attestations.documents.base import format_time, parse_time
from attestations.documents.engagement import LogReceipt
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    CheckpointInvalid,
    ConsistencyProofInvalid,
    InclusionProofInvalid,
    LogRollback,
    PhaseViolation,
    SafeconductError,
    StoreFailed,
)
from attestations.keys import EnrolledKey
from attestations.log_entries import Kind, LogEntry
from attestations.merkle import Tree, leaf_hash
from attestations.notes import Note, parse_note
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, NewFrames, Store, StoredLeaf

MAX_LEAVES_ANSWERED = 256
BESIDE: frozenset[Kind] = frozenset({"amendment", "termination"})  # may come before the suite is registered


class EngagementLog:
    """Gives every leaf its index and time, keeps the tree, signs checkpoints over what is durable."""

    def __init__(self, *, agreement: str, origin: str, keys: LabKeys, store: Store, clock: Clock) -> None:
        self._agreement = agreement
        self._origin = origin
        self._keys = keys
        self._store = store
        self._clock = clock
        self._tree = Tree()
        self._durable = 0
        self._last_time: datetime | None = None
        self._broken: SafeconductError | None = None
        self._settled = asyncio.Event()
        self._settled.set()
        self._writing = 0
        self.only: Kind | None = None
        """The one kind of leaf that may come next, where there is only one: a registration first, a close last."""

    @property
    def size(self) -> int:
        """How many leaves are durable."""
        return self._durable

    @property
    def broken(self) -> SafeconductError | None:
        """Why nothing more may be signed, or None."""
        return self._broken

    def check_whole(self) -> None:
        """Raise why nothing more may be signed, if so.

        Raises:
            LogRollback: the log does not extend what was cosigned.
            StoreFailed: a leaf did not become durable.
        """
        if self._broken is not None:
            raise type(self._broken)(self._broken.message, **self._broken.facts)

    @property
    def next_index(self) -> int:
        """The log index that the next leaf will get."""
        return self._tree.size

    def time(self) -> datetime:
        """Return the present, never before a time this log already holds."""
        now = self._clock.now()
        if self._last_time is not None and now < self._last_time:
            return self._last_time
        return now

    def restore(self, leaf: StoredLeaf, stated: str) -> None:
        """Take back a leaf that the store holds."""
        if leaf.position != self._tree.size:
            raise LogRollback("the store's log has a gap", leaf=str(leaf.position))
        self._tree.append(leaf_hash(leaf.data))
        self._durable = self._tree.size
        self._last_time = parse_time(stated)

    def break_off(self, why: SafeconductError) -> None:
        """Sign nothing more for this agreement."""
        self._broken = self._broken or why

    async def settled(self) -> None:
        """Wait until every leaf that has a place is durable, or known not to be."""
        await self._settled.wait()

    async def append(
        self,
        kind: Kind,
        build: Callable[[str, str], list[Envelope]],
        *,
        session: str | None = None,
        seq: int | None = None,
        frames: Callable[[datetime], NewFrames] | None = None,
    ) -> list[Envelope]:
        """Give the next leaf its place and return its documents once they are durable.

        Args:
            kind: what the leaf is.
            build: makes the leaf's documents from the log index and the time, both as text; called once, at once.
            session: the session the leaf belongs to, if any.
            seq: its place in the session.
            frames: makes the frames that become durable with the leaf.

        Raises:
            PhaseViolation: a leaf of this kind may not come next.
            StoreFailed: it did not become durable; nothing more is signed until the engagement is read again.
            LogRollback: the log does not extend what was cosigned.
        """
        self.check_whole()
        if self.only not in (None, kind) and not (self.only == "registration" and kind in BESIDE):
            raise PhaseViolation(f"the next leaf of this log is its {self.only}", kind=kind)
        index, now = self._tree.size, self.time()
        stated = format_time(now)
        documents = build(str(index), stated)
        data = LogEntry(kind, tuple(documents)).to_bytes()
        # No await between taking the index and queueing the write: the store sees leaves in their order.
        self._tree.append(leaf_hash(data))
        self._last_time = parse_time(stated)
        leaf = StoredLeaf(index, kind, session, seq, data)
        written = self._store.append(self._agreement, leaf, None if frames is None else frames(now))
        self._writing += 1
        self._settled.clear()
        try:
            await written
            self._durable = max(self._durable, index + 1)
        except StoreFailed as error:
            self.break_off(error)
            raise
        finally:
            self._writing -= 1
            if not self._writing:
                self._settled.set()
        return documents

    async def append_receipted(
        self,
        kind: Kind,
        document: Envelope,
        *,
        check: Callable[[datetime], None] | None = None,
        share_commit: str | None = None,
        share: str | None = None,
    ) -> Envelope:
        """Log a document with the lab's receipt and return the receipt; what is said of a draw stands in it.

        `check` may refuse at the very time the leaf would get; then nothing is logged.
        """

        def build(index: str, now: str) -> list[Envelope]:
            if check is not None:
                check(parse_time(now))
            receipt = LogReceipt(
                agreement=self._agreement,
                kind=kind,
                document=document.digest,
                log_index=index,
                logged_at=now,
                share_commit=share_commit,
                share=share,
            )
            return [document, sign_document(receipt, self._keys.record)]

        return (await self.append(kind, build))[1]

    def checkpoint(self) -> Note:
        """Return the signed checkpoint over every durable leaf.

        Raises:
            LogRollback: a shorter log than the one cosigned is never signed again.
        """
        if isinstance(self._broken, LogRollback):
            self.check_whole()
        return sign_checkpoint(Checkpoint(self._origin, self._durable, self._tree.root(self._durable)), self._keys.log)

    def root(self) -> str:
        """Return the root over every durable leaf, in hex."""
        return self._tree.root(self._durable).hex()

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return an inclusion proof.

        Raises:
            InclusionProofInvalid: the log has no such leaf or size.
        """
        if not index < size <= self._durable:
            raise InclusionProofInvalid("the log has no such leaf or size", leaf=str(index), size=str(size))
        return self._tree.inclusion(index, size)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return a consistency proof.

        Raises:
            ConsistencyProofInvalid: the log has no such sizes.
        """
        if not 0 < old <= new <= self._durable:
            raise ConsistencyProofInvalid("the log has no such sizes", old=str(old), new=str(new))
        return self._tree.consistency(old, new)

    def check_extends(self, text: str) -> Checkpoint:
        """Check that our log extends a checkpoint we signed before; if it does not, nothing more is signed.

        Raises:
            LogRollback: our log is shorter, or another.
            CheckpointInvalid, SignatureInvalid, MalformedEnvelope: it is not one of ours.
        """
        checkpoint = open_checkpoint(parse_note(text), origin=self._origin, log_key=self._keys.log.key)
        if checkpoint.size > self._durable or self._tree.root(checkpoint.size) != checkpoint.root:
            error = LogRollback(
                "the log does not extend a checkpoint that was already signed",
                signed=str(checkpoint.size),
                leaves=str(self._durable),
            )
            self.break_off(error)
            raise error
        return checkpoint

    async def cosign(self, text: str, *, name: str, key: EnrolledKey) -> None:
        """Keep the auditor's cosignature of one of our checkpoints.

        Raises:
            CheckpointInvalid: it is not of this log, or not cosigned.
            LogRollback: we signed it, and our log does not hold it.
        """
        note = parse_note(text)
        checkpoint = self.check_extends(text)
        if cosignature_time(note, name=name, key=key) is None:
            raise CheckpointInvalid("a checkpoint without the auditor's cosignature", name=name)
        await self._store.save_cosigned(self._agreement, checkpoint.size, text)

    async def leaves(self, start: int) -> list[StoredLeaf]:
        """Return up to 256 durable leaves from `start`."""
        found: list[StoredLeaf] = []
        if start < self._durable:
            async for leaf in self._store.leaves(self._agreement, start):
                found.append(leaf)
                if len(found) == MAX_LEAVES_ANSWERED or leaf.position + 1 == self._durable:
                    break
        return found
