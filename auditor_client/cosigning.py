"""Follows the lab's log and cosigns it: our signature under a root says that we checked every leaf below it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import NamedTuple

from attestations.checkpoint import Checkpoint, cosign, open_checkpoint
from attestations.documents.base import parse_time
from attestations.documents.exchange import Meter, Promise, Record
from attestations.errors import (
    CheckpointInvalid,
    EvidenceError,
    LogEquivocation,
    LogRollback,
    PeerError,
    RefusedError,
    SequenceGap,
    TimeOrderViolation,
    UsageMeterMismatch,
)
from attestations.following import follow
from attestations.ledger import Ledger
from attestations.log_entries import Kind, parse_entry
from attestations.merkle import leaf_hash, verify_consistency
from attestations.negotiation.amending import check_amendment
from attestations.negotiation.happened import Happened
from attestations.negotiation.ledger import bounds
from attestations.negotiation.messages import Concluded
from attestations.negotiation.thread import InForce
from attestations.notes import Note, parse_note
from auditor_client.disputing import COSIGNED, keep_leaves, keep_note
from auditor_client.engagement import Engagement
from auditor_client.history import EXCHANGES
from auditor_client.leaf_checks import LeafChecker, LeafFacts
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab

IN_FORCE = "agreement-in-force"  # as last amended; absent until there is an amendment


class _Expected(NamedTuple):
    leaf: bytes
    facts: LeafFacts


class Cosigner:
    """Keeps our mirror of one log up with the lab's, and cosigns what it has checked."""

    def __init__(self, engagement: Engagement, *, lab: Lab, journal: Journal, mirror: Mirror, clock: Clock) -> None:
        self._engagement = engagement
        self._lab = lab
        self._journal = journal
        self._mirror = mirror
        self._clock = clock
        self._checker = LeafChecker(engagement, journal)
        self._expected: dict[int, _Expected] = {}
        self._one_at_a_time = asyncio.Lock()
        self._at: datetime | None = None
        self._meter: Meter | None = None
        if mirror.last_leaf is not None:
            self._at = self._checker.check(mirror.last_leaf).at
        if mirror.last_record is not None:
            self._meter = self._checker.check(mirror.last_record).after

    def last(self) -> str:
        """Return the newest checkpoint we cosigned, or ""."""
        kept = self._journal.recall(COSIGNED)
        return "" if kept is None else kept.decode()

    async def expect_promise(self, intent: bytes, envelope: bytes, promise: Promise) -> None:
        """Note where a verified Promise must stand, so that its leaf need not be checked again."""
        facts = LeafFacts(int(promise.log_index), parse_time(promise.promised_at))
        await self._expect(leaf_of("promise", intent, envelope), facts)

    async def expect_record(self, envelope: bytes, record: Record) -> None:
        """Note where a verified Record must stand."""
        facts = LeafFacts(
            int(record.log_index), parse_time(record.finished_at), record.meter_before, record.meter_after
        )
        await self._expect(leaf_of("record", envelope), facts)

    async def cosign(self) -> str:
        """Bring the mirror up to the lab's present checkpoint, cosign it, hand it over and return it.

        Raises:
            LogRollback, LogEquivocation: the log is shorter than, or not, what we cosigned.
            CheckpointInvalid: its leaves do not give its root.
            TimeOrderViolation, UsageMeterMismatch, SequenceEquivocation: a leaf is wrong.
            AmendmentRetroactive: the lab logged an amendment after what it takes back had happened.
        """
        async with self._one_at_a_time:
            note = parse_note(await self._lab.checkpoint(self._engagement.digest))
            checkpoint = self._open(note)
            try:
                await self._follow(checkpoint)
                if self._checker.amended is not None:
                    await self._journal.remember(IN_FORCE, self._checker.amended.to_bytes())
            except (EvidenceError, PeerError, RefusedError):
                await keep_note(self._journal, note.to_text())
                raise
            at = self._clock.now()
            signed = cosign(note, name=self._engagement.cosigner, signer=self._engagement.keys.cosign, at=at).to_text()
            await self._journal.remember(COSIGNED, signed.encode())
            await self._lab.cosign(agreement=self._engagement.digest, checkpoint=signed)
            return signed

    async def resume(self, session: str) -> int:
        """Have the lab prove that its log extends what we cosigned, before anything new is signed.

        Returns:
            The sequence number the lab expects next in `session`; a hint.

        Raises:
            LogRollback: the log is shorter.
            ConsistencyProofInvalid: it is another log.
        """
        last = self.last()
        answer = await self._lab.resume(agreement=self._engagement.digest, session=session, checkpoint=last)
        if last:
            ours, theirs = self._open(parse_note(last)), self._open(parse_note(answer.checkpoint))
            try:
                _check_extends(ours, theirs, answer.consistency)
            except EvidenceError:
                await keep_note(self._journal, answer.checkpoint)
                raise
        return answer.next_seq

    def _open(self, note: Note) -> Checkpoint:
        return open_checkpoint(note, origin=self._engagement.agreement.origin, log_key=self._engagement.lab_log)

    async def _expect(self, leaf: bytes, facts: LeafFacts) -> None:
        if facts.index < self._mirror.size:
            same = self._mirror.hash_at(facts.index) == leaf_hash(leaf)
        else:
            same = self._expected.setdefault(facts.index, _Expected(leaf, facts)).leaf == leaf
        if not same:
            mirrored = facts.index < self._mirror.size
            other = self._mirror.leaf_at(facts.index) if mirrored else self._expected[facts.index].leaf
            await keep_leaves(self._journal, leaf, other)
            raise LogEquivocation("two documents claim one place in the log", index=str(facts.index))

    async def _follow(self, checkpoint: Checkpoint) -> None:
        start, at, meter = self._mirror.size, self._at, self._meter
        if checkpoint.size < start:
            raise LogRollback("the lab's log is shorter than our copy of it", size=str(checkpoint.size))
        try:
            if checkpoint.size > start:
                async with aclosing(self._lab.leaves(agreement=self._engagement.digest, start=start)) as leaves:
                    async for leaf in leaves:
                        await self._take_or_keep(leaf)
                        if self._mirror.size == checkpoint.size:
                            break
            self._compare(checkpoint, start)
        except BaseException:
            self._mirror.rewind(start)
            self._at, self._meter = at, meter
            raise
        for index in [index for index in self._expected if index < checkpoint.size]:
            del self._expected[index]
        await asyncio.to_thread(self._mirror.flush)

    def _compare(self, checkpoint: Checkpoint, start: int) -> None:
        if self._mirror.size != checkpoint.size:
            raise CheckpointInvalid("the lab sent fewer leaves than its checkpoint covers")
        if self._mirror.root() != checkpoint.root:
            if checkpoint.size == start:
                raise LogEquivocation("the lab signed another root for a log of this size", size=str(start))
            raise CheckpointInvalid("the leaves do not give the checkpoint's root", size=str(checkpoint.size))

    async def _take_or_keep(self, leaf: bytes) -> None:
        try:
            self._take(leaf)
        except (EvidenceError, PeerError, RefusedError):
            expected = self._expected.get(self._mirror.size)
            await keep_leaves(self._journal, leaf, *(() if expected is None else (expected.leaf,)))
            raise

    def _take(self, leaf: bytes) -> None:
        index = self._mirror.size
        expected = self._expected.get(index)
        if expected is not None:
            if expected.leaf != leaf:
                raise LogEquivocation("the log does not hold what was promised there", index=str(index))
            facts = expected.facts
        else:
            facts = self._checker.check(leaf)
        if facts.index != index:
            raise SequenceGap("a leaf names another place in the log", index=str(index))
        skew = timedelta(seconds=self._engagement.agreement.timing.skew_seconds + 1)
        if (self._at is not None and facts.at < self._at) or facts.at > self._clock.now() + skew:
            raise TimeOrderViolation("the log's times run backwards or ahead", index=str(index))
        if facts.before is not None:
            if facts.before != (self._meter or Meter()):
                raise UsageMeterMismatch("the meter does not follow on the Record before", index=str(index))
            self._meter = facts.after
        if facts.amendment is not None:
            self._check_amendment(facts.amendment, facts.at)
        self._at = facts.at
        self._mirror.append(leaf)

    def _check_amendment(self, amendment: Concluded, at: datetime) -> None:
        """Hold an amendment against the log below it: what it takes back may have happened since we signed it.

        Raises:
            AmendmentRetroactive, ProtectedClauseViolation, AgreementDigestMismatch: no verifier would take it either.
        """
        digest, first = self._engagement.digest, self._engagement.first
        ledger, in_force = Ledger(first), InForce(digest, first)
        for mirrored in self._mirror.leaves():
            if mirrored.endswith(EXCHANGES):
                continue
            entry = parse_entry(mirrored)
            follow(ledger, entry, digest)
            if entry.kind == "amendment":
                in_force = InForce(entry.documents[0].digest, ledger.agreement)
        check_amendment(
            in_force,
            amendment.agreement,
            consenting=amendment.consenting,
            happened=Happened(tuple(ledger.events), self._meter),
            at=bounds(first, at),
        )


def _check_extends(ours: Checkpoint, theirs: Checkpoint, proof: Sequence[bytes]) -> None:
    if theirs.size < ours.size:
        raise LogRollback("the lab's log is shorter than what we cosigned", size=str(theirs.size))
    verify_consistency(old_size=ours.size, old_root=ours.root, new_size=theirs.size, new_root=theirs.root, proof=proof)


def leaf_of(kind: Kind, *documents: bytes) -> bytes:
    """Return the bytes of a leaf over envelopes that are already in their one form, as `LogEntry.to_bytes` would."""
    return b'{"docs":[' + b",".join(documents) + b'],"kind":"' + kind.encode() + b'"}'
