"""Steps 7 and 8: one pass over the log that checks every session, Promise and Record, in memory that does not grow with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from attestations.digests import sha256
from attestations.documents.agreement import Variant
from attestations.documents.base import Document, parse_time
from attestations.documents.engagement import LogReceipt, SessionGrant, SessionOpen
from attestations.documents.exchange import Cancel, Intent, Meter, Promise, Record, Refusal
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttributionFailed,
    ExchangeOmitted,
    InclusionProofInvalid,
    MalformedEnvelope,
    PrevHashMismatch,
    PromiseMissing,
    PromiseUnfulfilled,
    RecordEquivocation,
    SequenceEquivocation,
    SequenceGap,
    TimeOrderViolation,
    UndeclaredRouting,
    UsageMeterMismatch,
    VariantMismatch,
)
from attestations.keys import EnrolledKey
from attestations.log_entries import LogEntry
from attestations.verify.parties import Parties

D = TypeVar("D", bound=Document)
_HEX_BYTES = 32


@dataclass
class Session:
    """Where one session stands while the log is read."""

    next_seq: int
    prev: str
    open: OpenPromise | None = None


@dataclass(frozen=True)
class OpenPromise:
    """A Promise that still needs its Record."""

    digest: str
    intent: Intent
    promise: Promise


@dataclass
class Tally:
    """What the exchanges of a log amount to."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "promised",
                "COMPLETED",
                "REFUSED_POLICY",
                "ERROR",
                "TIMEOUT",
                "CANCELLED_BY_AUDITOR",
                "ABORTED_CRASH",
                "refusals",
            ),
            0,
        )
    )
    meter: Meter = field(default_factory=Meter)
    first_promise: int | None = None
    # One (handle, status) for every Promise and one (request, result, session, seq) for every answer, packed: they are
    # needed once tasks and transcripts are opened, and are the only thing here that grows with the log.
    handles: bytearray = field(default_factory=bytearray)
    statuses: bytearray = field(default_factory=bytearray)
    answers: bytearray = field(default_factory=bytearray)


STATUS_CODES = {
    "COMPLETED": 0,
    "REFUSED_POLICY": 1,
    "ERROR": 2,
    "TIMEOUT": 3,
    "CANCELLED_BY_AUDITOR": 4,
    "ABORTED_CRASH": 5,
}


class ExchangePass:
    """Reads the log's session, promise, refusal and record leaves in order."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._agreement = parties.agreement
        self._skew = parties.agreement.timing.skew_seconds
        self._variants: dict[str, tuple[Variant, str]] = {
            variant.id: (variant, variant.digest()) for variant in parties.agreement.variants
        }
        self.sessions: dict[str, Session] = {}
        self.runtimes: set[str] = set()
        self.tally = Tally()
        self._last_time = ""
        self._order: dict[str, int] = {}  # session -> number of its open Promise

    def time(self, stated: str, index: int) -> None:
        """Take the lab's time of a leaf, which must not run backwards."""
        if self._last_time and parse_time(stated) < parse_time(self._last_time):
            raise TimeOrderViolation("the lab's times run backwards in the log", leaf=str(index))
        self._last_time = stated

    def receipt(self, entry: LogEntry, index: int) -> LogReceipt:
        """Check the lab's receipt at the end of a leaf that is no exchange."""
        document, last = entry.documents[0], entry.documents[-1]
        receipt = self._open(last, LogReceipt, self._parties.lab_record)
        self._index(receipt.log_index, index)
        if receipt.kind != entry.kind or receipt.document != document.digest:
            raise AttributionFailed("a log receipt is about another document", leaf=str(index))
        self.time(receipt.logged_at, index)
        return receipt

    def session(self, entry: LogEntry, index: int) -> None:
        """Check a session leaf."""
        self._arity(entry, 2)
        opened = self._open(entry.documents[0], SessionOpen, self._parties.auditor_exchange)
        grant = self._open(entry.documents[1], SessionGrant, self._parties.lab_record)
        self._index(grant.log_index, index)
        if grant.session != opened.session or grant.open != entry.documents[0].digest:
            raise AttributionFailed("a session grant is about another session", leaf=str(index))
        if opened.session in self.sessions:
            raise SequenceEquivocation("a session is opened twice", session=opened.session)
        self.sessions[opened.session] = Session(0, entry.documents[1].digest)
        self.time(grant.granted_at, index)

    def promise(self, entry: LogEntry, index: int) -> None:
        """Check a promise leaf: Intent by the auditor, Promise by the lab, both about one place."""
        self._arity(entry, 2)
        intent, session = self._intent(entry, index)
        promise = self._open(entry.documents[1], Promise, self._parties.lab_record)
        self._index(promise.log_index, index)
        if (promise.session, promise.seq, promise.intent) != (
            intent.session,
            intent.seq,
            entry.documents[0].digest,
        ):
            raise AttributionFailed("a Promise is about another Intent", leaf=str(index))
        variant, digest = self._variant(intent.variant)
        if promise.variant != digest or promise.manifest != variant.manifest or intent.template != variant.template:
            raise VariantMismatch("a Promise names other weights than the agreement", leaf=str(index))
        if promise.evidence != intent.evidence or promise.evidence not in self.runtimes:
            raise AttributionFailed("a Promise names runtime evidence that is not in the log", leaf=str(index))
        if session.open is not None:
            raise SequenceGap("a session promises twice without a Record between", session=intent.session)
        self.time(promise.promised_at, index)
        session.open = OpenPromise(entry.documents[1].digest, intent, promise)
        session.next_seq += 1
        tally = self.tally
        tally.counts["promised"] += 1
        tally.handles += bytes.fromhex(intent.handle)
        tally.statuses.append(255)
        if tally.first_promise is None:
            tally.first_promise = index
        self._order[intent.session] = tally.counts["promised"] - 1

    def refusal(self, entry: LogEntry, index: int) -> None:
        """Check a refusal leaf; it takes the Intent's place in the sequence."""
        self._arity(entry, 2)
        intent, session = self._intent(entry, index)
        refusal = self._open(entry.documents[1], Refusal, self._parties.lab_record)
        self._index(refusal.log_index, index)
        if (refusal.session, refusal.seq, refusal.intent) != (
            intent.session,
            intent.seq,
            entry.documents[0].digest,
        ):
            raise AttributionFailed("a refusal is about another Intent", leaf=str(index))
        self.time(refusal.refused_at, index)
        session.next_seq += 1
        session.prev = entry.documents[1].digest
        self.tally.counts["refusals"] += 1

    def record(self, entry: LogEntry, index: int) -> None:
        """Check a record leaf against its Promise."""
        envelope = entry.documents[-1]
        record = self._open(envelope, Record, self._parties.lab_record)
        self._index(record.log_index, index)
        session = self.sessions.get(record.session)
        if session is None:
            raise PromiseMissing("a Record of a session that was never opened", leaf=str(index))
        pending = session.open
        if pending is None:
            if record.seq < session.next_seq:
                raise RecordEquivocation("two Records for one Promise", session=record.session, seq=str(record.seq))
            raise PromiseMissing("a Record without its Promise", session=record.session, seq=str(record.seq))
        if (record.seq, record.promise) != (pending.promise.seq, pending.digest):
            raise RecordEquivocation("a Record is about another Promise", session=record.session, seq=str(record.seq))
        if len(entry.documents) == 2:  # noqa: PLR2004 - a cancellation stands before its Record
            cancel = self._open(entry.documents[0], Cancel, self._parties.auditor_exchange)
            if cancel.promise != pending.digest or record.status != "CANCELLED_BY_AUDITOR":
                raise AttributionFailed("a cancellation of another exchange", leaf=str(index))
        self._identity(record, pending, index)
        self._meter(record, pending, index)
        self.time(record.finished_at, index)
        session.open = None
        session.prev = envelope.digest
        tally = self.tally
        tally.counts[record.status] += 1
        tally.statuses[self._order[record.session]] = STATUS_CODES[record.status]
        if record.response is not None:
            tally.answers += bytes.fromhex(pending.intent.plaintext_commit + record.response.commitment)
            tally.answers += self._order[record.session].to_bytes(8, "big")
        tally.meter = record.meter_after

    def finish(self) -> None:
        """Check that nothing was left open when the log ends."""
        for name, session in self.sessions.items():
            if session.open is not None:
                raise PromiseUnfulfilled("a Promise has no Record", session=name, seq=str(session.next_seq - 1))

    def _intent(self, entry: LogEntry, index: int) -> tuple[Intent, Session]:
        intent = self._open(entry.documents[0], Intent, self._parties.auditor_exchange)
        session = self.sessions.get(intent.session)
        if session is None:
            raise AttributionFailed("an Intent of a session that was never opened", leaf=str(index))
        if intent.seq < session.next_seq:
            raise SequenceEquivocation("one place in a session is used twice", session=intent.session, seq=str(intent.seq))
        if intent.seq > session.next_seq:
            raise SequenceGap("a sequence number is skipped", session=intent.session, seq=str(intent.seq))
        if intent.prev != session.prev:
            raise PrevHashMismatch("an Intent does not follow what came before", session=intent.session, seq=str(intent.seq))
        return intent, session

    def _identity(self, record: Record, pending: OpenPromise, index: int) -> None:
        if record.variant != pending.promise.variant or record.manifest != pending.promise.manifest:
            if record.router.used:
                raise VariantMismatch("the answer came from another model than the one promised", leaf=str(index))
            raise VariantMismatch("a Record names another model than its Promise", leaf=str(index))
        if not record.router.used and record.router.served is not None:
            raise UndeclaredRouting("a Record names another model but no routing", leaf=str(index))

    def _meter(self, record: Record, pending: OpenPromise, index: int) -> None:
        before, after, usage = record.meter_before, record.meter_after, record.usage
        if before != self.tally.meter:
            raise UsageMeterMismatch("a Record's meter does not continue the one before", leaf=str(index))
        if (
            int(after.requests) - int(before.requests),
            int(after.input_tokens) - int(before.input_tokens),
            int(after.output_tokens) - int(before.output_tokens),
        ) != (1, usage.input_tokens, usage.output_tokens):
            raise UsageMeterMismatch("a Record's usage is not what its meter counts", leaf=str(index))
        limit = pending.intent.budget_max
        if usage.input_tokens > limit.input_tokens or usage.output_tokens > limit.output_tokens:
            raise UsageMeterMismatch("a Record uses more than its Intent allowed", leaf=str(index))

    def _variant(self, name: str) -> tuple[Variant, str]:
        found = self._variants.get(name)
        if found is None or name not in self._agreement.scope.variants:
            raise VariantMismatch("a Promise for a variant outside the agreement", variant=name)
        return found

    def _open(self, envelope: Envelope, kind: type[D], key: EnrolledKey) -> D:
        document = open_document(envelope, kind, required=(key,), known=self._parties.known)
        if getattr(document, "agreement", self._parties.digest) != self._parties.digest:
            raise AttributionFailed(f"a {kind.__name__} of another agreement", document=kind.__name__)
        return document

    @staticmethod
    def _arity(entry: LogEntry, expected: int) -> None:
        if len(entry.documents) != expected:
            raise MalformedEnvelope(f"a {entry.kind} leaf holds {expected} documents", kind=entry.kind)

    @staticmethod
    def _index(stated: str, index: int) -> None:
        if int(stated) != index:
            raise InclusionProofInvalid(
                "a leaf is not where the lab put it", leaf=str(index), stated=stated
            )


def answer_count(tally: Tally) -> int:
    """Return how many exchanges were answered."""
    return len(tally.answers) // (2 * _HEX_BYTES + 8)


def answer(tally: Tally, position: int) -> tuple[bytes, bytes, int]:
    """Return (request commitment, result commitment, promise number) of one answer, in log order."""
    width = 2 * _HEX_BYTES + 8
    row = bytes(tally.answers[position * width : (position + 1) * width])
    if len(row) != width:
        raise ExchangeOmitted("more transcripts than answered exchanges", answer=str(position))
    return row[:_HEX_BYTES], row[_HEX_BYTES : 2 * _HEX_BYTES], int.from_bytes(row[2 * _HEX_BYTES :], "big")
