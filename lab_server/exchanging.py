"""Intent, blind Promise, Reveal, Frames, Record: the heart of the lab's side (`docs/spec/exchange.md`).

The Promise is durable before it is sent, and sent before the request can be read. The Record, with every
frame, is durable before the last frame is sent. Nothing here ever sees a request or an answer in clear.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.base import format_time, parse_time
from attestations.documents.exchange import (
    Cancel,
    Intent,
    Promise,
    Record,
    Refusal,
    Status,
    Usage,
    derive_seed,
    seed_commitment,
)
from attestations.envelope import Envelope, open_document, sign_document
from attestations.errors import (
    EvidenceMissing,
    PhaseViolation,
    PrevHashMismatch,
    RateLimited,
    RefusedError,
    RevealMismatch,
    SafeconductError,
    SeedMismatch,
    SequenceEquivocation,
    SequenceGap,
    StoreFailed,
    WorkerUnavailable,
)
from attestations.log_entries import parse_entry
from attestations.states import EXCHANGES, Exchange, ExchangeEvent, Phase, PhaseEvent, advance
from lab_server.engagement import Engagement, OpenExchange, Published, Session
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, Job, JobOutcome, NewFrames, Store, StoredFrame, Worker
from lab_server.scope import check_scope

MAX_REFUSALS = 100  # signed and logged; after that an unsigned error, or a log could be flooded
_GRACE_SECONDS = 5.0  # for the worker to end an answer by itself after its deadline
_NOTHING = Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)


class Exchanging:
    """Carries exchanges from Intent to Record."""

    def __init__(self, *, keys: LabKeys, store: Store, worker: Worker, clock: Clock) -> None:
        self._keys = keys
        self._store = store
        self._worker = worker
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def intend(self, engagement: Engagement, envelope: Envelope, intent: Intent) -> list[Published]:
        """Answer an Intent: a Promise, a Refusal, or everything again if the exchange is known.

        Raises:
            SequenceGap, SequenceEquivocation, PrevHashMismatch, RateLimited, SessionUnknown, StoreFailed.
        """
        session = engagement.session(intent.session)
        async with session.lock:
            if intent.seq < session.next_seq:
                return await self._again(engagement, session, envelope, intent)
            if intent.seq > session.next_seq:
                raise SequenceGap("a sequence number was skipped", expected=str(session.next_seq), got=str(intent.seq))
            if session.open is not None:
                raise SequenceGap("the exchange before has not ended", expected=str(session.next_seq - 1))
            if intent.prev != session.prev:
                raise PrevHashMismatch("the Intent does not follow what came before", seq=str(intent.seq))
            try:
                return [await self._promise(engagement, session, envelope, intent)]
            except RefusedError as refusal:
                return [await self._refuse(engagement, session, envelope, intent, refusal)]

    async def reveal(self, engagement: Engagement, session: Session, sealed: bytes, seed_share: bytes) -> OpenExchange:
        """Take what the last Intent committed to and start the model.

        Raises:
            PhaseViolation: nothing waits for it.
            RevealMismatch, SeedMismatch: it is something else; the exchange has ended.
        """
        pending = session.open
        if pending is None or pending.state is not Exchange.PROMISED:
            raise PhaseViolation("no Promise waits for a Reveal", session=session.name)
        pending.state = advance(EXCHANGES, pending.state, ExchangeEvent.REVEAL)
        _stop_timer(pending)
        intent = pending.intent
        if sha256(sealed) != intent.sealed_digest or len(sealed) != intent.sealed_bytes:
            await self._end(engagement, session, pending, "CANCELLED_BY_AUDITOR", code="REVEAL_MISMATCH")
            raise RevealMismatch("the revealed bytes are not those the Intent committed to", seq=str(intent.seq))
        if seed_commitment(seed_share) != intent.seed_commit:
            await self._end(engagement, session, pending, "CANCELLED_BY_AUDITOR", code="SEED_MISMATCH")
            raise SeedMismatch("the revealed seed share is not the committed one", seq=str(intent.seq))
        task = asyncio.create_task(self._execute(engagement, session, pending, sealed, seed_share))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pending

    async def cancel(self, engagement: Engagement, session: Session, envelope: Envelope) -> OpenExchange:
        """End a promised exchange that has not been revealed."""
        cancel = open_document(envelope, Cancel, required=(engagement.exchange_key,), known=engagement.known)
        pending = session.open
        if (
            pending is None
            or pending.state is not Exchange.PROMISED
            or (cancel.promise, cancel.agreement) != (pending.promise.digest, engagement.digest)
        ):
            raise PhaseViolation("no Promise waits to be cancelled", session=session.name)
        pending.state = Exchange.REVEALED
        _stop_timer(pending)
        await self._end(engagement, session, pending, "CANCELLED_BY_AUDITOR", code="CANCELLED", cancel=envelope)
        return pending

    async def follow(self, engagement: Engagement, pending: OpenExchange) -> AsyncIterator[Published]:
        """Give what an exchange publishes until its Record."""
        position = 0
        while True:
            while position < len(pending.published):
                item = pending.published[position]
                position += 1
                yield item
                if isinstance(item, Envelope):
                    return
            if engagement.log.broken is not None:
                raise StoreFailed(f"the Record could not be kept: {engagement.log.broken}")
            pending.changed.clear()
            await pending.changed.wait()

    async def frames(self, engagement: Engagement, session: str, seq: int) -> list[StoredFrame]:
        """Return the frames of an ended exchange.

        Raises:
            EvidenceMissing: there are none, or their time has passed.
        """
        found = await self._store.frames(engagement.digest, session, seq, now=format_time(self._clock.now()))
        if not found:
            raise EvidenceMissing("no frames are kept for this exchange", seq=str(seq))
        return found

    async def abort_open(self, engagement: Engagement) -> int:
        """End every open Promise as a crash; called before anything else after a start."""
        pending = engagement.open_exchanges
        for session, exchange in pending:
            await self._end(engagement, session, exchange, "ABORTED_CRASH", code="GATEWAY_RESTARTED")
        return len(pending)

    async def drain(self) -> None:
        """Wait until every running exchange has its Record."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _again(
        self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent
    ) -> list[Published]:
        pending = session.open
        if pending is not None and intent.seq == pending.intent.seq:
            if envelope.digest != pending.intent_digest:
                await self._equivocation(engagement, intent, envelope)
            return [pending.promise]
        leaves = await self._store.exchange(engagement.digest, intent.session, intent.seq)
        entries = [parse_entry(leaf.data) for leaf in leaves]
        if not entries or entries[0].documents[0].digest != envelope.digest:
            await self._equivocation(engagement, intent, envelope)
        answer: list[Published] = [entries[0].documents[-1]]
        if entries[0].kind == "promise":
            answer += await self._store.frames(
                engagement.digest, intent.session, intent.seq, now=format_time(self._clock.now())
            )
            answer.append(entries[-1].documents[-1])
        return answer

    async def _equivocation(self, engagement: Engagement, intent: Intent, second: Envelope) -> None:
        leaves = await self._store.exchange(engagement.digest, intent.session, intent.seq)
        first = parse_entry(leaves[0].data).documents[0].to_bytes() if leaves else b""
        await self._store.save_equivocation(engagement.digest, intent.session, intent.seq, first, second.to_bytes())
        raise SequenceEquivocation("another Intent already has this place", session=intent.session, seq=str(intent.seq))

    async def _promise(self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent) -> Envelope:
        if engagement.phase not in (Phase.PREREGISTERED, Phase.RUNNING):
            raise PhaseViolation(f"no exchange begins in {engagement.phase.value}", state=engagement.phase.value)
        agreement = engagement.agreement
        now = engagement.log.time()
        check_scope(agreement, intent, now=now)
        if engagement.unrevealed >= agreement.budget.unrevealed:
            raise RateLimited("too many Promises were never used", rule="unrevealed")
        place = (intent.session, intent.seq)
        quota = engagement.book.reserve(place, intent.budget_max)
        variant = agreement.variant(intent.variant)
        assert variant is not None  # noqa: S101 - check_scope
        timing = agreement.timing

        def build(index: str, stated: str) -> list[Envelope]:
            promise = Promise(
                agreement=engagement.digest,
                session=intent.session,
                seq=intent.seq,
                intent=envelope.digest,
                log_index=index,
                promised_at=stated,
                reveal_by=format_time(now + timedelta(seconds=timing.reveal_seconds)),
                respond_by=format_time(now + timedelta(seconds=timing.respond_seconds)),
                manifest=variant.manifest,
                variant=engagement.variant_digests[variant.id],
                evidence=intent.evidence,
                quota_left=quota,
            )
            pending = OpenExchange(intent, envelope.digest, sign_document(promise, self._keys.record), promise)
            session.open, session.last_intent = pending, envelope.digest
            session.next_seq += 1
            engagement.promised += 1
            if engagement.phase is Phase.PREREGISTERED:
                engagement.move(PhaseEvent.PROMISE)
            return [envelope, pending.promise]

        documents = await engagement.log.append("promise", build, session=intent.session, seq=intent.seq)
        pending = session.open
        assert pending is not None  # noqa: S101 - set by build
        pending.overdue = asyncio.get_running_loop().call_later(
            timing.reveal_seconds, self._reveal_overdue, engagement, session, pending
        )
        return documents[1]

    async def _refuse(
        self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent, why: RefusedError
    ) -> Envelope:
        if engagement.refusals >= MAX_REFUSALS:
            raise RateLimited("too many refused requests", rule="refusals") from None

        def build(index: str, stated: str) -> list[Envelope]:
            refusal = Refusal(
                agreement=engagement.digest,
                session=intent.session,
                seq=intent.seq,
                intent=envelope.digest,
                log_index=index,
                reason=why.reason,
                rule=why.facts.get("rule"),
                refused_at=stated,
            )
            signed = sign_document(refusal, self._keys.record)
            session.last_intent, session.prev = envelope.digest, signed.digest
            session.next_seq += 1
            engagement.refusals += 1
            return [envelope, signed]

        return (await engagement.log.append("refusal", build, session=intent.session, seq=intent.seq))[1]

    def _reveal_overdue(self, engagement: Engagement, session: Session, pending: OpenExchange) -> None:
        if pending.state is not Exchange.PROMISED or session.open is not pending:
            return
        pending.state = Exchange.REVEALED
        engagement.unrevealed += 1
        ending = self._end(engagement, session, pending, "CANCELLED_BY_AUDITOR", code="REVEAL_OVERDUE")
        task = asyncio.create_task(_swallow_store_failure(ending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(
        self, engagement: Engagement, session: Session, pending: OpenExchange, sealed: bytes, seed_share: bytes
    ) -> None:
        intent = pending.intent
        boot = self._worker.boot
        runtime = engagement.runtimes.get(boot or "")
        if runtime is None or intent.evidence != runtime.envelope.digest or intent.worker_key != runtime.hpke_digest:
            await _swallow_store_failure(self._end(engagement, session, pending, "ERROR", code="WORKER_KEY_STALE"))
            return
        seconds = engagement.agreement.timing.respond_seconds
        job = Job(
            agreement=engagement.digest,
            session=intent.session,
            seq=intent.seq,
            variant=intent.variant,
            operation=intent.operation,
            tools=intent.tools,
            evidence=intent.evidence,
            sealed=sealed,
            plaintext_commit=intent.plaintext_commit,
            sampling=canonical_bytes(intent.sampling.json_value()),
            seed=derive_seed(seed_share, pending.promise.payload),
            max_input_tokens=intent.budget_max.input_tokens,
            deadline_seconds=float(seconds),
        )
        started = engagement.log.time()
        frames: list[StoredFrame] = []
        outcome: JobOutcome | None = None
        status, code = "ABORTED_CRASH", "WORKER_DIED"
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                async for item in self._worker.run(job):
                    if isinstance(item, JobOutcome):
                        outcome = item
                        break
                    frames.append(item)
                    if not item.final:
                        pending.publish(item)
        except TimeoutError:
            status, code = "TIMEOUT", "RESPOND_OVERDUE"
        except WorkerUnavailable:
            pass
        except SafeconductError as error:
            status, code = "ERROR", error.reason
        await _swallow_store_failure(
            self._end(engagement, session, pending, status, code=code, started=started, outcome=outcome, frames=frames)
        )

    async def _end(
        self,
        engagement: Engagement,
        session: Session,
        pending: OpenExchange,
        status: str,
        *,
        code: str | None = None,
        started: datetime | None = None,
        outcome: JobOutcome | None = None,
        frames: list[StoredFrame] | None = None,
        cancel: Envelope | None = None,
    ) -> None:
        intent, terms = pending.intent, pending.terms
        kept = engagement.agreement.timing.redeliver_seconds
        completed = outcome is not None and outcome.status == "COMPLETED"

        def build(index: str, stated: str) -> list[Envelope]:
            usage = outcome.usage if outcome is not None else _NOTHING
            before, after = engagement.book.settle((intent.session, intent.seq), usage)
            record = Record.model_validate(
                {
                    "agreement": engagement.digest,
                    "session": intent.session,
                    "seq": intent.seq,
                    "promise": pending.promise.digest,
                    "log_index": index,
                    "status": _status(outcome.status if outcome is not None else status),
                    "code": outcome.code if outcome is not None else code,
                    "response": outcome.response if outcome is not None else None,
                    "finish_reason": outcome.finish_reason if outcome is not None else None,
                    "usage": usage,
                    "meter_before": before,
                    "meter_after": after,
                    "started_at": min(format_time(started), stated, key=parse_time) if started else stated,
                    "finished_at": stated,
                    "decode_config": outcome.decode_config if outcome is not None else None,
                    "manifest": outcome.manifest if completed and outcome is not None else terms.manifest,
                    "variant": terms.variant,
                    "fingerprint": outcome.fingerprint if outcome is not None else None,
                    "worker": self._worker.boot or "none",
                    "redeliver_until": format_time(parse_time(stated) + timedelta(seconds=kept)),
                    **({"router": outcome.router, "safety_layer": outcome.safety} if outcome is not None else {}),
                }
            )
            signed = sign_document(record, self._keys.record)
            session.prev = signed.digest
            session.open = None
            engagement.counts[record.status] += 1
            return [signed] if cancel is None else [cancel, signed]

        new_frames = None
        if completed and frames:
            until = frames

            def new_frames(now: datetime) -> NewFrames:
                limit = format_time(now + timedelta(seconds=kept))
                return NewFrames(intent.session, intent.seq, until, limit)

        try:
            documents = await engagement.log.append(
                "record", build, session=intent.session, seq=intent.seq, frames=new_frames
            )
        except StoreFailed:
            pending.changed.set()
            raise
        last = [frame for frame in frames or () if frame.final] if completed else []
        pending.publish(*last, documents[-1])


def _status(text: str) -> Status:
    return text  # type: ignore[return-value] - Record checks it


async def _swallow_store_failure(ending: object) -> None:
    # The log is broken off and says so to every caller; a background task has nobody to tell.
    try:
        await ending  # type: ignore[misc]
    except StoreFailed:
        return


def _stop_timer(pending: OpenExchange) -> None:
    if pending.overdue is not None:
        pending.overdue.cancel()
