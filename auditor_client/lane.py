"""One lane of a campaign: a session in which exchange follows exchange, through broken streams and restarts.

What is durable when: an Intent before it is sent; a Record and its answer together with the next Intent.
After a crash the same Intent bytes are sent again, so nothing is asked twice.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import replace

from attestations.digests import sha256
from attestations.documents.exchange import Intent, Refusal
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import (
    EvidenceError,
    LabUnreachable,
    PeerError,
    PhaseViolation,
    PromiseMissing,
    PromiseUnfulfilled,
    RefusedError,
    ResponseTruncated,
    RevealBeforePromise,
    SafeconductError,
    SealedOpenFailed,
    WorkerUnavailable,
)
from attestations.reasons import BY_REASON
from auditor_client.answering import ReceivedAnswer
from auditor_client.campaign_state import Ending, Item, Pending, Session
from auditor_client.checking import CheckedPromise, CheckedRecord, check_promise, check_record, check_refusal
from auditor_client.desk import Desk
from auditor_client.disputing import keep_documents
from auditor_client.intending import Prepared, Question, intend, restored
from auditor_client.opening import SessionKeeper
from auditor_client.ports import Promised, Recorded, Refused, SealedFrame, Stream
from auditor_client.runtime_evidence import Runtime
from auditor_client.trained import take_training


class Lane:
    """Carries items through one session until none is left."""

    def __init__(self, desk: Desk, session: Session | None) -> None:
        self._desk = desk
        self._keeper = SessionKeeper(desk, session)
        kept = None if session is None else desk.journal.pending(session.name)
        self._prepared: Prepared | None = None if kept is None else restored(kept)
        self._resent = self._prepared is not None
        self._promised_unanswered = False
        self._said: list[Envelope] = []  # what the lab has signed in this exchange
        self._following: tuple[Item, Question] | None = None  # the next step of the item just asked
        self._moved = False

    async def run(self) -> None:
        """Carry items until none is left; broken streams are mended with growing pauses.

        Raises:
            LabUnreachable, PromiseUnfulfilled: nothing moved for as long as `Patience.give_up`.
            PeerError, EvidenceError, RefusedError: the lab broke the protocol or refused.
        """
        patience, waited, pause = self._desk.patience, 0.0, self._desk.patience.first_retry
        while True:
            self._moved = False
            try:
                while not await self._connected():
                    pass
            except (LabUnreachable, WorkerUnavailable) as error:
                self._resent = self._prepared is not None
                if self._moved:
                    waited, pause = 0.0, patience.first_retry
                if waited >= patience.give_up:
                    if self._promised_unanswered:
                        await keep_documents(self._desk.journal, self._said)
                        raise PromiseUnfulfilled("a Promise has no Record after its deadline") from None
                    raise error from None
                # Lanes that broke together must not come back together.
                await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - no secret depends on it
                waited, pause = waited + pause, min(pause * 2, patience.longest_retry)
            except (EvidenceError, PeerError):
                await keep_documents(self._desk.journal, self._said)
                raise
            else:
                return

    async def _connected(self) -> bool:
        """Carry items over one stream; False if another stream is to go on."""
        await self._keeper.ready()
        if self._prepared is None and not await self._next():
            return True
        async with self._desk.lab.exchange() as stream:
            while self._prepared is not None:
                again = self._resent
                ending = await self._carry(stream, self._prepared)
                going_on = await self._begin(ending)
                self._moved, self._resent = True, False
                self._desk.on_ended(ending)
                self._stop_if_refused(ending)
                going_on = going_on or await self._next()
                if again:
                    # The lab may still read a Reveal it had no use for, and end this stream over it.
                    return not going_on
        return True

    async def _next(self) -> bool:
        """Begin the next exchange once there is something to ask; False when nothing is left to do."""
        while not await self._begin(None):
            if not await self._desk.wait():
                return False
        return True

    async def _begin(self, ending: Ending | None) -> bool:
        """End an exchange and begin the next in one durable step; False when nothing is left to do."""
        desk, session, runtime = self._desk, self._keeper.session, self._keeper.runtime
        if session is None or session.prev is None or runtime is None:
            raise RuntimeError("an exchange outside a session")
        if ending is not None:
            session = replace(session, prev=ending.digest, next_seq=ending.seq + 1)
        refused = ending is not None and ending.status == "REFUSED"
        item, question = (None, None) if refused else self._next_question()
        intended: Prepared | None = None
        if item is not None and question is not None and session.prev is not None:
            try:
                intended = intend(
                    question,
                    item,
                    engagement=desk.engagement,
                    runtime=runtime,
                    link_key=desk.link_key,
                    session=session.name,
                    seq=session.next_seq,
                    prev=session.prev,
                    now=desk.clock.now(),
                    randomness=desk.randomness,
                )
            except SafeconductError:
                desk.return_item(item)
                raise
        if ending is not None or intended is not None:
            await desk.journal.turn(ending, None if intended is None else intended.pending)
        self._keeper.session, self._prepared = session, intended
        self._promised_unanswered, self._said = False, []
        return intended is not None

    def _next_question(self) -> tuple[Item, Question] | tuple[None, None]:
        """Return what to ask next: the item at hand if it needs more, else the next on the schedule."""
        desk = self._desk
        if self._following is not None:
            item, question = self._following
            self._following = None
            if desk.may_begin():
                return item, question
            desk.return_item(item)
            return None, None
        waiting = desk.next_item()
        if waiting is None:
            return None, None
        try:
            asked = desk.question(waiting, desk.journal.answers(waiting) if waiting.step else ())
            if asked is None:
                raise PhaseViolation("an item waits that asks nothing more", task=str(waiting.task))
        except SafeconductError:
            desk.return_item(waiting)
            raise
        return waiting, asked

    async def _carry(self, stream: Stream, prepared: Prepared) -> Ending:
        desk = self._desk
        pending, envelope, intent = prepared.pending, prepared.envelope, prepared.intent
        runtime = self._keeper.runtime_of(intent.evidence)
        promised: CheckedPromise | None = None
        received = ReceivedAnswer(pending.response_key, on_text=desk.on_text)
        await stream.intend(envelope)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(desk.patience.answer) as deadline:
                while True:
                    message = await stream.receive()
                    if not isinstance(message, SealedFrame):
                        self._said.append(message.envelope)
                    match message:
                        case Promised(answer):
                            promised = check_promise(
                                answer,
                                intent=intent,
                                intent_digest=envelope.digest,
                                engagement=desk.engagement,
                                intended_at=pending.intended_at,
                                now=desk.clock.now(),
                            )
                            await desk.cosigner.expect_promise(pending.intent, promised.data, promised.promise)
                            self._promised_unanswered = True
                            timing = desk.engagement.agreement.timing
                            deadline.reschedule(loop.time() + timing.respond_seconds + desk.patience.answer)
                            await reveal(stream, prepared, promised)
                        case SealedFrame() as frame:
                            received.take(frame)
                        case Refused(answer):
                            refusal = check_refusal(
                                answer, intent=intent, intent_digest=envelope.digest, engagement=desk.engagement
                            )
                            return self._refused(pending, answer, refusal)
                        case Recorded(answer):
                            checked = await self._check_record(answer, received, pending, intent, promised, runtime)
                            return await self._recorded(pending, promised, checked)
        except PhaseViolation:
            if not self._resent:
                raise
            # The lab already had our Reveal before the stream broke: ask again until the answer is there.
            raise LabUnreachable("a repeated Reveal was not waited for", session=pending.session) from None
        except TimeoutError:
            raise LabUnreachable("the lab did not carry on with an exchange in time", session=pending.session) from None

    async def _check_record(
        self,
        envelope: Envelope,
        received: ReceivedAnswer,
        pending: Pending,
        intent: Intent,
        promised: CheckedPromise | None,
        runtime: Runtime,
    ) -> CheckedRecord:
        desk = self._desk

        def check(answer: ReceivedAnswer) -> CheckedRecord:
            return check_record(
                envelope,
                answer,
                intent=intent,
                promised=promised,
                engagement=desk.engagement,
                runtime=runtime,
                response_key=pending.response_key,
                now=desk.clock.now(),
            )

        try:
            return check(received)
        except (ResponseTruncated, SealedOpenFailed):
            again = ReceivedAnswer(pending.response_key)
            redelivered = desk.lab.redeliver(agreement=desk.engagement.digest, session=pending.session, seq=pending.seq)
            async with aclosing(redelivered) as frames:
                async for frame in frames:
                    again.take(frame)
            return check(again)

    async def _recorded(self, pending: Pending, promised: CheckedPromise | None, checked: CheckedRecord) -> Ending:
        if promised is None:
            raise PromiseMissing("a Record without its Promise", session=pending.session, seq=str(pending.seq))
        record = checked.record
        document = checked.envelope.to_bytes()
        await self._desk.cosigner.expect_record(document, record)
        desk, promise = self._desk, promised.promise
        await take_training(desk.engagement, desk.journal, pending.intent, promise, record, checked.envelope)
        if checked.answer is not None:
            item = self._after(pending.item, checked.answer)
        else:
            # The worker may have been started anew; the next Intent must name what runs now.
            await self._keeper.refresh_runtime()
            item = self._again(pending.item)
        return Ending(
            session=pending.session,
            seq=pending.seq,
            digest=checked.envelope.digest,
            promise=promised.data,
            document=document,
            status=record.status,
            code=record.code,
            result=checked.answer,
            item=item,
        )

    def _after(self, item: Item, answer: bytes) -> Item:
        """Return an item after its answer: done, or about to ask more, which this lane then does next."""
        if item.auxiliary:
            return replace(item, state="DONE")  # whichever desk carried it: it never takes more than one exchange
        before = self._desk.journal.answers(item) if item.step else ()
        question = self._desk.question(item, [*before, answer])
        if question is None:
            return replace(item, state="DONE")
        following = replace(item, step=item.step + 1)
        self._following = (following, question)
        return following

    def _again(self, item: Item) -> Item:
        """Return an item whose attempt broke: tried again from its first step, as often as was planned."""
        if item.auxiliary or item.attempt + 1 >= self._desk.max_attempts:
            return replace(item, state="FAILED")
        item = replace(item, attempt=item.attempt + 1, step=0)
        self._desk.return_item(item)
        return item

    def _refused(self, pending: Pending, envelope: Envelope, refusal: Refusal) -> Ending:
        # Attempts count Promises; this one was never promised, so the next try has the same handle.
        return Ending(
            session=pending.session,
            seq=pending.seq,
            digest=envelope.digest,
            promise=None,
            document=envelope.to_bytes(),
            status="REFUSED",
            code=refusal.reason,
            result=None,
            item=pending.item,
        )

    def _stop_if_refused(self, ending: Ending) -> None:
        error = refusal_of(ending)
        if error is not None:
            raise error


def refusal_of(ending: Ending) -> RefusedError | None:
    """Return the lab's signed reason for not promising as an error, or None where it promised."""
    if ending.status != "REFUSED":
        return None
    refusal = Refusal.parse(parse_envelope(ending.document).payload)
    kind = BY_REASON.get(refusal.reason, RefusedError)
    if not issubclass(kind, RefusedError):
        kind = RefusedError
    facts = {"rule": refusal.rule} if refusal.rule else {}
    return kind(f"the lab refused: {refusal.reason}" + (f" ({refusal.rule})" if refusal.rule else ""), **facts)


async def reveal(stream: Stream, prepared: Prepared, promised: CheckedPromise | None) -> None:
    """Open an Intent's commitments to the lab.

    Raises:
        RevealBeforePromise: there is no verified Promise for exactly this Intent.
    """
    pending = prepared.pending
    if promised is None or promised.promise.intent != prepared.envelope.digest:
        raise RevealBeforePromise("no verified Promise is held", session=pending.session, seq=str(pending.seq))
    if sha256(pending.sealed) != prepared.intent.sealed_digest:
        raise RevealBeforePromise("the sealed bytes are not the intended ones", session=pending.session)
    await stream.reveal(pending.sealed, pending.seed_share)
