"""Steps 7 and 8: one pass over the log that checks every session, Promise and Record, in nearly constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from attestations.digests import sha256
from attestations.documents.agreement import Agreement, Variant
from attestations.documents.base import Document, decode, parse_time
from attestations.documents.engagement import LogReceipt, RuntimeStatement, SessionGrant, SessionOpen
from attestations.documents.exchange import Cancel, Intent, Promise, Record, Refusal
from attestations.elicitation.hooks import HookBook
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttestationKeyUnbound,
    AttributionFailed,
    HookRefused,
    InclusionProofInvalid,
    MalformedEnvelope,
    PrevHashMismatch,
    PromiseMissing,
    PromiseUnfulfilled,
    RecordEquivocation,
    ResponseCommitmentMismatch,
    SequenceEquivocation,
    SequenceGap,
    SlaBreached,
    TimeOrderViolation,
    UndeclaredRouting,
    UsageMeterMismatch,
    VariantMismatch,
)
from attestations.frames import worker_signature_input
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.log_entries import LogEntry
from attestations.sandboxes import SandboxLedger
from attestations.training import TrainingLedger
from attestations.verify.parties import Parties
from attestations.verify.tally import Tally

D = TypeVar("D", bound=Document)
_WITH_CANCEL = 2


@dataclass(frozen=True)
class OpenPromise:
    """A Promise that still needs its Record."""

    number: int
    digest: str
    intent: Intent
    promise: Promise


@dataclass
class Session:
    """Where one session stands while the log is read."""

    number: int
    prev: str
    next_seq: int = 0
    open: OpenPromise | None = None


@dataclass(frozen=True)
class _Worker:
    """The keys a runtime statement names."""

    signer: EnrolledKey
    sealed_to: str


class ExchangePass:
    """Reads the log's session, promise, refusal and record leaves in order."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._agreement = parties.agreement
        self._variants = _in_scope(parties.agreement)
        self._workers: dict[str, _Worker] = {}
        self._last: datetime | None = None
        self.sessions: dict[str, Session] = {}
        self.tally = Tally()
        self.training = TrainingLedger()
        self.sandboxes = SandboxLedger()
        self.hooks = HookBook()
        self.declined: dict[str, str] = {}  # hook -> the lab's words when it declined it
        self.last_time: str | None = None
        self.last_intent: str | None = None

    def amend(self, agreement: Agreement) -> None:
        """Go by an amendment from here on."""
        self._agreement, self._variants = agreement, _in_scope(agreement)

    def time(self, stated: str, index: int) -> None:
        """Take the lab's time of a leaf, which must not run backwards."""
        moment = parse_time(stated)
        if self._last is not None and moment < self._last:
            raise TimeOrderViolation("the lab's times run backwards in the log", leaf=str(index))
        self._last, self.last_time = moment, stated

    def receipt(self, entry: LogEntry, index: int) -> LogReceipt:
        """Check the lab's receipt at the end of a leaf that is no exchange."""
        document, last = entry.documents[0], entry.documents[-1]
        receipt = self._open(last, LogReceipt, self._parties.lab_record)
        _index(receipt.log_index, index)
        if receipt.kind != entry.kind or receipt.document != document.digest:
            raise AttributionFailed("a log receipt is about another document", leaf=str(index))
        self.time(receipt.logged_at, index)
        return receipt

    def runtime(self, digest: str, statement: RuntimeStatement) -> None:
        """Take the keys of a runtime statement; Intents name the statement by its digest."""
        signer = enrol(self._parties.lab_record.party, KeyUse.WORKER, decode(statement.worker_public))
        self._workers[digest] = _Worker(signer, sha256(decode(statement.hpke_public)))

    def session(self, entry: LogEntry, index: int) -> None:
        """Check a session leaf."""
        _arity(entry, 2)
        opened = self._open(entry.documents[0], SessionOpen, self._parties.auditor_exchange)
        grant = self._open(entry.documents[1], SessionGrant, self._parties.lab_record)
        _index(grant.log_index, index)
        if grant.session != opened.session or grant.open != entry.documents[0].digest:
            raise AttributionFailed("a session grant is about another session", leaf=str(index))
        if opened.session in self.sessions:
            raise SequenceEquivocation("a session is opened twice", session=opened.session)
        self.tally.sessions.append(opened.session)
        self.sessions[opened.session] = Session(len(self.sessions), entry.documents[1].digest)
        self.time(grant.granted_at, index)

    def promise(self, entry: LogEntry, index: int) -> None:
        """Check a promise leaf: Intent by the auditor, Promise by the lab, both about one place."""
        _arity(entry, 2)
        intent, session = self._intent(entry, index)
        promise = self._open(entry.documents[1], Promise, self._parties.lab_record)
        _index(promise.log_index, index)
        if (promise.session, promise.seq, promise.intent) != (intent.session, intent.seq, entry.documents[0].digest):
            raise AttributionFailed("a Promise is about another Intent", leaf=str(index))
        variant, digest = self._variant(intent)
        if promise.variant != digest or promise.manifest != variant.manifest or intent.template != variant.template:
            raise VariantMismatch("a Promise names other weights than the agreement", leaf=str(index))
        worker = self._workers.get(promise.evidence)
        if promise.evidence != intent.evidence or worker is None:
            raise AttributionFailed("a Promise names runtime evidence that is not in the log", leaf=str(index))
        if intent.worker_key != worker.sealed_to:
            raise AttestationKeyUnbound("a request was sealed to a key the runtime evidence lacks", leaf=str(index))
        self.hooks.promised(intent, entry.documents[1].digest)
        self.time(promise.promised_at, index)
        number = self.tally.promised(intent.handle, intent.variant)
        session.open = OpenPromise(number, entry.documents[1].digest, intent, promise)
        session.next_seq += 1
        self.last_intent = promise.promised_at

    def refusal(self, entry: LogEntry, index: int) -> None:
        """Check a refusal leaf; it takes the Intent's place in the sequence."""
        _arity(entry, 2)
        intent, session = self._intent(entry, index)
        refusal = self._open(entry.documents[1], Refusal, self._parties.lab_record)
        _index(refusal.log_index, index)
        if (refusal.session, refusal.seq, refusal.intent) != (intent.session, intent.seq, entry.documents[0].digest):
            raise AttributionFailed("a refusal is about another Intent", leaf=str(index))
        self.time(refusal.refused_at, index)
        session.next_seq += 1
        session.prev = entry.documents[1].digest
        self.tally.counts["refusals"] += 1
        if refusal.reason == HookRefused("").reason and refusal.rule is not None:
            self.declined.setdefault(refusal.rule, refusal.why or "no reason was given")
        self.hooks.refusal(intent, refusal, entry.documents[1].digest)
        self.last_intent = refusal.refused_at

    def record(self, entry: LogEntry, index: int) -> None:
        """Check a record leaf against its Promise."""
        envelope = entry.documents[-1]
        record = self._open(envelope, Record, self._parties.lab_record)
        _index(record.log_index, index)
        session = self.sessions.get(record.session)
        if session is None:
            raise PromiseMissing("a Record of a session that was never opened", leaf=str(index))
        pending = _pending(session, record)
        if len(entry.documents) == _WITH_CANCEL:
            cancel = self._open(entry.documents[0], Cancel, self._parties.auditor_exchange)
            if cancel.promise != pending.digest or record.status != "CANCELLED_BY_AUDITOR":
                raise AttributionFailed("a cancellation of another exchange", leaf=str(index))
        _identity(record, pending, index)
        self._meter(record, pending, index)
        promised = int(pending.promise.log_index)
        self.training.take(self._agreement, pending.intent, record, promised=promised)
        self.sandboxes.take(pending.intent, record)
        self.hooks.record(record, envelope.digest)
        self._answer(record, pending, session.number, index)
        self.time(record.finished_at, index)
        session.open, session.prev = None, envelope.digest
        self.tally.ended(pending.number, record.status, record.usage)
        self.tally.meter = record.meter_after

    def finish(self) -> None:
        """Check that nothing was left open when the run ended, and that the lab's own failures keep to their cap.

        Raises:
            PromiseUnfulfilled, SlaBreached.
        """
        for name, session in self.sessions.items():
            if session.open is not None:
                raise PromiseUnfulfilled("a Promise has no Record", session=name, seq=str(session.next_seq - 1))
        aborted, cap = self.tally.counts["ABORTED_CRASH"], self._agreement.budget.crashes
        if aborted > cap:
            raise SlaBreached(f"{aborted} exchanges were aborted where {cap} were agreed", aborted=str(aborted))

    def _intent(self, entry: LogEntry, index: int) -> tuple[Intent, Session]:
        intent = self._open(entry.documents[0], Intent, self._parties.auditor_exchange)
        session = self.sessions.get(intent.session)
        if session is None:
            raise AttributionFailed("an Intent of a session that was never opened", leaf=str(index))
        facts = {"session": intent.session, "seq": str(intent.seq)}
        if intent.seq < session.next_seq:
            raise SequenceEquivocation("one place in a session is used twice", **facts)
        if intent.seq > session.next_seq:
            raise SequenceGap("a sequence number is skipped", **facts)
        if session.open is not None:
            raise PromiseUnfulfilled("a session goes on although a Promise has no Record", **facts)
        if intent.prev != session.prev:
            raise PrevHashMismatch("an Intent does not follow what came before", **facts)
        return intent, session

    def _answer(self, record: Record, pending: OpenPromise, session: int, index: int) -> None:
        response = record.response
        if response is None:
            return
        signed = worker_signature_input(
            agreement=self._parties.digest,
            session=record.session,
            seq=record.seq,
            frames_root=response.frames_root,
            frames=response.frames,
            result_commitment=response.commitment,
        )
        if not self._workers[pending.promise.evidence].signer.verify(decode(response.worker_signature), signed):
            raise ResponseCommitmentMismatch("a Record's answer is not the one the worker signed", leaf=str(index))
        self.tally.answered(pending.number, pending.intent, session, response.commitment)

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

    def _variant(self, intent: Intent) -> tuple[Variant, str]:
        found = self._variants.get(intent.variant)
        made = self.training.variants.get(intent.variant)
        if found is None and made is not None and made.parent in self._variants:
            found = self._variants[made.id] = (made, made.digest())
        if found is None:
            raise VariantMismatch("a Promise for a variant outside the agreement", variant=intent.variant)
        return found

    def _open(self, envelope: Envelope, kind: type[D], key: EnrolledKey) -> D:
        document = open_document(envelope, kind, required=(key,), known=self._parties.known)
        if getattr(document, "agreement", self._parties.digest) != self._parties.digest:
            raise AttributionFailed(f"a {kind.__name__} of another agreement", document=kind.__name__)
        return document


def _in_scope(agreement: Agreement) -> dict[str, tuple[Variant, str]]:
    names = agreement.scope.variants
    return {variant.id: (variant, variant.digest()) for variant in agreement.variants if variant.id in names}


def _pending(session: Session, record: Record) -> OpenPromise:
    facts = {"session": record.session, "seq": str(record.seq)}
    pending = session.open
    if pending is None:
        if record.seq < session.next_seq:
            raise RecordEquivocation("two Records for one Promise", **facts)
        raise PromiseMissing("a Record without its Promise", **facts)
    if (record.seq, record.promise) != (pending.promise.seq, pending.digest):
        raise RecordEquivocation("a Record is about another Promise", **facts)
    return pending


def _identity(record: Record, pending: OpenPromise, index: int) -> None:
    if record.variant != pending.promise.variant or record.manifest != pending.promise.manifest:
        raise VariantMismatch("the answer came from another model than the one promised", leaf=str(index))
    if record.router.used:
        raise VariantMismatch("the answer was routed to another model", leaf=str(index))
    if record.router.served is not None:
        raise UndeclaredRouting("a Record names another model but no routing", leaf=str(index))


def _arity(entry: LogEntry, expected: int) -> None:
    if len(entry.documents) != expected:
        raise MalformedEnvelope(f"a {entry.kind} leaf holds {expected} documents", kind=entry.kind)


def _index(stated: str, index: int) -> None:
    if int(stated) != index:
        raise InclusionProofInvalid("a leaf is not where the lab put it", leaf=str(index), stated=stated)
