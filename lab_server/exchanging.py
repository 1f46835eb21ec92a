"""Intent, blind Promise, Reveal, Frames, Record: the heart of the lab's side (`docs/spec/exchange.md`).

The Promise is durable before it is sent, and sent before the request can be read. The Record, with every
frame, is durable before the last frame is sent. Nothing here ever sees a request or an answer in clear.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.base import format_time, parse_time
from attestations.documents.exchange import Cancel, Intent, derive_seed, seed_commitment
from attestations.envelope import Envelope
from attestations.errors import (
    EvidenceMissing,
    PhaseViolation,
    PrevHashMismatch,
    RevealMismatch,
    SafeconductError,
    SeedMismatch,
    SequenceEquivocation,
    SequenceGap,
    WorkerUnavailable,
)
from attestations.log_entries import parse_entry
from attestations.states import EXCHANGES, Exchange, ExchangeEvent, advance
from lab_server.engagement import Engagement, OpenExchange, Published, Session
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, Equivocation, Job, JobOutcome, Store, StoredFrame, Worker
from lab_server.promising import Promising
from lab_server.recording import Ending, Recording, ended
from lab_server.steps import Steps, carried_through

_GRACE_SECONDS = 2.0  # for the worker to end an answer by itself after its deadline


class Exchanging:
    """Carries exchanges from Intent to Record."""

    def __init__(self, *, keys: LabKeys, store: Store, worker: Worker, clock: Clock, steps: Steps) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._steps = steps
        self._promising = Promising(keys=keys, refuses=worker.refuses, on_overdue=self._reveal_overdue)
        self._recording = Recording(keys=keys)

    @carried_through
    async def intend(self, engagement: Engagement, envelope: Envelope, intent: Intent) -> list[Published]:
        """Answer an Intent: a Promise, a Refusal, or everything again if the exchange is known.

        Raises:
            SequenceGap, SequenceEquivocation, PrevHashMismatch, PhaseViolation, RateLimited, SessionUnknown,
            StoreFailed.
        """
        session = engagement.session(intent.session)
        async with session.lock:
            # A Promise that did not become durable is in memory still; shown again, there would be two one day.
            engagement.log.check_whole()
            if intent.seq < session.next_seq:
                return await self._again(engagement, session, envelope, intent)
            if intent.seq > session.next_seq or session.open is not None:
                raise SequenceGap(
                    "an Intent for a place that is not the next", expected=str(session.next_seq), got=str(intent.seq)
                )
            if intent.prev != session.prev:
                raise PrevHashMismatch("the Intent does not follow what came before", seq=str(intent.seq))
            return [await self._promising.answer(engagement, session, envelope, intent)]

    @carried_through
    async def reveal(
        self, engagement: Engagement, session: Session, intent: Intent, sealed: bytes, seed_share: bytes
    ) -> OpenExchange | None:
        """Take what an Intent committed to and start the model; None if the exchange has ended already.

        The same Reveal again changes nothing.

        Raises:
            PhaseViolation: there is no Promise for this Intent.
            RevealMismatch, SeedMismatch: it is something else; the exchange ends with it.
        """
        matches = sha256(sealed) == intent.sealed_digest and len(sealed) == intent.sealed_bytes
        seed_matches = seed_commitment(seed_share) == intent.seed_commit
        pending = session.open
        if pending is None or pending.intent.seq != intent.seq:
            pending = None
            if intent.seq >= session.next_seq:
                raise PhaseViolation("no Promise waits for a Reveal", session=session.name)
        elif pending.state is Exchange.PROMISED:
            pending.state = advance(EXCHANGES, pending.state, ExchangeEvent.REVEAL)
            _stop_timer(pending)
            if matches and seed_matches:
                self._steps.begin(self._execute(engagement, session, pending, sealed, seed_share))
            else:
                await self._end(engagement, session, pending, "REVEAL_MISMATCH" if not matches else "SEED_MISMATCH")
        if not matches:
            raise RevealMismatch("the revealed bytes are not those the Intent committed to", seq=str(intent.seq))
        if not seed_matches:
            raise SeedMismatch("the revealed seed share is not the committed one", seq=str(intent.seq))
        return pending

    @carried_through
    async def cancel(
        self, engagement: Engagement, session: Session, envelope: Envelope, cancel: Cancel
    ) -> OpenExchange:
        """End a promised exchange that has not been revealed.

        Raises:
            PhaseViolation: no such Promise waits.
        """
        pending = session.open
        if pending is None or pending.state is not Exchange.PROMISED or cancel.promise != pending.promise.digest:
            raise PhaseViolation("no such Promise waits to be cancelled", session=session.name)
        pending.state = Exchange.REVEALED  # nothing may be revealed any more
        _stop_timer(pending)
        await self._end(engagement, session, pending, "CANCELLED", cancel=envelope)
        return pending

    async def follow(self, engagement: Engagement, pending: OpenExchange) -> AsyncIterator[list[Published]]:
        """Give what an exchange publishes until its Record, all that is there at a time.

        Raises:
            StoreFailed: its Record could not be kept.
        """
        position = 0
        while True:
            items = pending.published[position:]
            position += len(items)
            if items:
                yield items
                if isinstance(items[-1], Envelope):
                    return
                continue  # more may have come while these were sent
            engagement.log.check_whole()
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

    async def abort_open(self, engagement: Engagement, code: str) -> int:
        """End every open Promise as a crash; called before anything else once an engagement was read from the store."""
        pending = engagement.open_exchanges
        for session, exchange in pending:
            ending = Ending(ended(exchange, "ABORTED_CRASH", code))
            await self._recording.end(engagement, session, exchange, ending)
        return len(pending)

    async def _again(
        self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent
    ) -> list[Published]:
        pending = session.open
        if pending is not None and intent.seq == pending.intent.seq:
            if envelope.digest != pending.intent_digest:
                await self._equivocation(engagement, intent, envelope)
            return [pending.promise]
        # Its Record may have its place and not yet be durable: nothing is shown before it is.
        await engagement.log.settled()
        engagement.log.check_whole()
        leaves = await self._store.exchange(engagement.digest, intent.session, intent.seq)
        entries = [parse_entry(leaf.data) for leaf in leaves]
        if not entries or entries[0].documents[0].digest != envelope.digest:
            await self._equivocation(engagement, intent, envelope)
        answer: list[Published] = [entries[0].documents[-1]]
        if entries[0].kind == "promise":
            now = format_time(self._clock.now())
            answer += await self._store.frames(engagement.digest, intent.session, intent.seq, now=now)
            answer.append(entries[-1].documents[-1])
        return answer

    async def _equivocation(self, engagement: Engagement, intent: Intent, second: Envelope) -> None:
        leaves = await self._store.exchange(engagement.digest, intent.session, intent.seq)
        first = parse_entry(leaves[0].data).documents[0].to_bytes() if leaves else b""
        if first:
            pair = Equivocation(intent.session, intent.seq, first, second.to_bytes())
            await self._store.save_equivocation(engagement.digest, pair)
        raise SequenceEquivocation("another Intent already has this place", session=intent.session, seq=str(intent.seq))

    def _reveal_overdue(self, engagement: Engagement, session: Session, pending: OpenExchange) -> None:
        if pending.state is Exchange.PROMISED and session.open is pending:
            pending.state = Exchange.REVEALED  # nothing may be revealed any more
            self._steps.begin(self._end(engagement, session, pending, "REVEAL_OVERDUE"))

    async def _end(
        self,
        engagement: Engagement,
        session: Session,
        pending: OpenExchange,
        code: str,
        *,
        cancel: Envelope | None = None,
    ) -> None:
        ending = Ending(ended(pending, "CANCELLED_BY_AUDITOR", code), cancel=cancel)
        await self._recording.end(engagement, session, pending, ending)

    async def _execute(
        self, engagement: Engagement, session: Session, pending: OpenExchange, sealed: bytes, seed_share: bytes
    ) -> None:
        started = engagement.log.time()
        try:
            outcome, frames = await self._run(engagement, pending, sealed, seed_share)
        except Exception:  # noqa: BLE001 - whatever went wrong, a Promise has its Record
            outcome, frames = ended(pending, "ERROR", "GATEWAY_FAILED"), []
        ending = Ending(outcome, frames=tuple(frames), started=started)
        await self._recording.end(engagement, session, pending, ending)

    async def _run(
        self, engagement: Engagement, pending: OpenExchange, sealed: bytes, seed_share: bytes
    ) -> tuple[JobOutcome, list[StoredFrame]]:
        intent, boot, frames = pending.intent, self._worker.boot, list[StoredFrame]()
        runtime = engagement.runtimes.get(boot or "")
        if runtime is None or (intent.evidence, intent.worker_key) != (runtime.envelope.digest, runtime.hpke_digest):
            return ended(pending, "ERROR", "WORKER_KEY_STALE"), frames
        pending.boot = runtime.boot
        derived = intent.variant in engagement.training.variants
        if not derived and runtime.manifests.get(intent.variant) != pending.terms.manifest:
            return ended(pending, "ERROR", "MODEL_CHANGED"), frames
        seconds = float(engagement.agreement.timing.respond_seconds)
        left = (parse_time(pending.terms.respond_by) - engagement.log.time()).total_seconds()
        try:
            async with asyncio.timeout(max(0.0, min(seconds + _GRACE_SECONDS, left))):
                job = _job(engagement, pending, sealed, seed_share, min(seconds, left))
                async for item in self._worker.run(job):
                    if isinstance(item, JobOutcome):
                        if item.status == "COMPLETED" and item.manifest != pending.terms.manifest:
                            return ended(pending, "ERROR", "MODEL_CHANGED"), frames
                        return item, frames
                    frames.append(item)
                    if not item.final:
                        pending.publish(item)
        except TimeoutError:
            return ended(pending, "TIMEOUT", "RESPOND_OVERDUE"), frames
        except WorkerUnavailable:
            pass
        except SafeconductError as error:
            return ended(pending, "ERROR", error.reason), frames
        return ended(pending, "ABORTED_CRASH", "WORKER_DIED"), frames


def _job(engagement: Engagement, pending: OpenExchange, sealed: bytes, seed_share: bytes, seconds: float) -> Job:
    intent = pending.intent
    return Job(
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
        deadline_seconds=seconds,
    )


def _stop_timer(pending: OpenExchange) -> None:
    if pending.overdue is not None:
        pending.overdue.cancel()
