"""A lab in memory behind the auditor's port, with real keys, that can be told to misbehave.

`lab.misbehave("wrong_answer", at=3)` spoils the third exchange; `lab.lose("record", at=2)` breaks the stream
just before the second record arrives. Everything it keeps survives `restart()`, except the worker's keys.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from attestations.digests import sha256
from attestations.documents.asking import SealedRequest, result_commitment
from attestations.documents.base import decode, encode, format_time
from attestations.documents.dialogue import ChatRequest, ChatResult
from attestations.documents.engagement import RuntimeStatement, SessionGrant, SessionOpen
from attestations.documents.exchange import (
    Intent,
    Meter,
    Promise,
    Quota,
    Record,
    Refusal,
    Response,
    Router,
    Usage,
    seed_commitment,
)
from attestations.envelope import Envelope, sign
from attestations.errors import LabUnreachable, PhaseViolation, RevealMismatch, SequenceEquivocation, SequenceGap
from attestations.frames import EventWriter, FrameSealer, frames_root, response_salt, worker_signature_input
from attestations.keys import KeyUse, P256Signer
from attestations.log_entries import LogEntry
from attestations.sealing import WorkerKey, open_request, request_info
from auditor_client.ports import Answer, OpenedSession, Promised, Recorded, Refused, SealedFrame
from tests.support.audit_world import LAB, World
from tests.support.simulated_log import SimulatedLog

Answerer = Callable[[ChatRequest], str | ChatResult]


@dataclass
class Held:
    """One exchange as the lab holds it."""

    intent: Intent
    envelope: Envelope
    promise: Envelope | None = None
    frames: list[SealedFrame] = field(default_factory=list)
    ended: Answer | None = None


class Worker:
    """The keys of one boot."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.hpke = WorkerKey.generate()
        self.signer = P256Signer.generate(party=LAB, use=KeyUse.WORKER)


class SimulatedLab(SimulatedLog):
    """The whole lab."""

    def __init__(self, world: World, clock: Any, *, answer: Answerer = lambda _: "yes") -> None:
        super().__init__(world, clock)
        self.answer = answer
        self.calls: list[str] = []
        self.next_seq: Counter[str] = Counter()
        self.prev: dict[str, str] = {}
        self.held: dict[tuple[str, int], Held] = {}
        self.opened: dict[str, OpenedSession] = {}
        self.meter = Meter()
        self._faults: dict[str, int] = {}
        self._losses: dict[str, list[int]] = {}
        self._seen: Counter[str] = Counter()
        self.boots = 0
        self.refusal: tuple[str, str | None] = ("BUDGET_EXHAUSTED", None)  # reason and rule of what it refuses
        self.delay = 0.0  # seconds a model call takes
        self.error_code = "BACKEND_STALLED"  # of `model_error`
        self.finish_reason: Literal["stop", "length", "filtered"] = "stop"
        self._boot()

    def misbehave(self, fault: str, *, at: int = 1) -> None:
        """Do `fault` at its `at`-th opportunity."""
        self._faults[fault] = at

    def lose(self, step: str, *, at: int = 1) -> None:
        """Break the stream right before its `at`-th message of kind `step` arrives."""
        self._losses.setdefault(step, []).append(at)

    def restart(self) -> None:
        """Start a new worker; open promises end as crashed."""
        for held in self.held.values():
            if held.promise is not None and held.ended is None:
                self._end(held, "ABORTED_CRASH", None)
        self._boot()

    def now_does(self, fault: str) -> bool:
        """Tell whether this is the opportunity for `fault`."""
        self._seen[fault] += 1
        return self._faults.get(fault) == self._seen[fault]

    def _boot(self) -> None:
        self.boots += 1
        self.worker = Worker(f"boot-{self.boots}")
        self.runtime_envelope: Envelope | None = None

    def _runtime(self) -> Envelope:
        if self.runtime_envelope is None:
            digest, worker = self.engagement.digest, self.worker
            statement = RuntimeStatement(
                agreement=digest,
                level="RA0",
                boot=worker.boot,
                image="55" * 32,
                backend="scripted/1",
                hpke_public=encode(worker.hpke.public),
                worker_public=encode(worker.signer.key.public),
                nonce=sha256(bytes.fromhex(digest) + worker.boot.encode())
                if not self.now_does("wrong_nonce")
                else "00" * 32,
                issued_at=format_time(self.clock.now()),
            )
            self.runtime_envelope = self.signed(statement)
            self.receipt("runtime", self.runtime_envelope)
        return self.runtime_envelope

    async def runtime(self, agreement: str) -> Envelope:
        return self._runtime()

    async def open_session(self, opening: Envelope) -> OpenedSession:
        document = SessionOpen.parse(opening.payload)
        if document.session not in self.opened:
            runtime = self._runtime()
            index, at = self.next_place()
            grant = self.signed(
                SessionGrant(
                    agreement=document.agreement,
                    session=document.session,
                    open=opening.digest,
                    log_index=str(index),
                    granted_at=format_time(at),
                )
            )
            self.append(LogEntry("session", (opening, grant)))
            self.prev[document.session] = grant.digest
            self.opened[document.session] = OpenedSession(grant, runtime)
        return self.opened[document.session]

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[SimulatedStream]:
        yield SimulatedStream(self)

    async def redeliver(self, *, agreement: str, session: str, seq: int) -> AsyncGenerator[SealedFrame, None]:
        for frame in self.held[session, seq].frames:
            yield frame

    def sessions(self) -> dict[str, int]:
        return {name: self.next_seq[name] for name in self.opened}

    def loses(self, step: str) -> bool:
        self._seen[f"lose {step}"] += 1
        return self._seen[f"lose {step}"] in self._losses.get(step, ())

    def intend(self, envelope: Envelope) -> Held:
        intent = Intent.parse(envelope.payload)
        place = (intent.session, intent.seq)
        if place in self.held:
            if self.held[place].envelope.digest != envelope.digest:
                raise SequenceEquivocation("two intents", session=intent.session)
            return self.held[place]
        if intent.seq != self.next_seq[intent.session] or intent.prev != self.prev[intent.session]:
            raise SequenceGap("out of order", session=intent.session)
        held = self.held[place] = Held(intent, envelope)
        self.next_seq[intent.session] += 1
        if self.now_does("refuse"):
            self._refuse(held)
        else:
            held.promise = self._promise(held)
        return held

    def _refuse(self, held: Held) -> None:
        index, at = self.next_place()
        refusal = self.signed(
            Refusal(
                agreement=held.intent.agreement,
                session=held.intent.session,
                seq=held.intent.seq,
                intent=held.envelope.digest,
                log_index=str(index),
                reason=self.refusal[0],
                rule=self.refusal[1],
                refused_at=format_time(at),
            )
        )
        self.append(LogEntry("refusal", (held.envelope, refusal)))
        self.prev[held.intent.session] = refusal.digest
        held.ended = Refused(refusal)

    def _promise(self, held: Held) -> Envelope:
        intent, does = held.intent, self.now_does
        index, at = self.next_place()
        variant = self.engagement.agreement.variants[0]
        promised_at = at - timedelta(hours=1) if does("promise_back_in_time") else at
        promise = Promise(
            agreement=intent.agreement,
            session=intent.session,
            seq=intent.seq,
            intent="00" * 32 if does("promise_other_intent") else held.envelope.digest,
            log_index=str(index + 1 if does("index_gap") else index),
            promised_at=format_time(promised_at),
            reveal_by=format_time(promised_at + timedelta(seconds=60)),
            respond_by=format_time(promised_at + timedelta(seconds=60)),
            manifest="99" * 32 if does("promise_other_model") else variant.manifest,
            variant=variant.digest(),
            evidence=intent.evidence,
            quota_left=Quota(requests="1", input_tokens="1", output_tokens="1"),
        )
        key = self.world.lab.agreement if does("promise_wrong_key") else self.world.lab.record
        envelope = sign(promise.payload_type, promise.to_bytes(), key)
        self.append(LogEntry("promise", (held.envelope, envelope)))
        return envelope

    def reveal(self, held: Held, sealed: bytes, seed_share: bytes) -> None:
        intent = held.intent
        if sha256(sealed) != intent.sealed_digest or seed_commitment(seed_share) != intent.seed_commit:
            raise RevealMismatch("not what was intended")
        if held.ended is not None:
            raise PhaseViolation("no Promise waits for a Reveal", session=intent.session)
        if intent.worker_key != sha256(self.worker.hpke.public):
            self._end(held, "ERROR", "WORKER_KEY_STALE")
        elif self.now_does("model_error"):
            self._end(held, "ERROR", self.error_code)
        else:
            self._run(held, sealed)

    def _run(self, held: Held, sealed: bytes) -> None:
        intent, does, worker = held.intent, self.now_does, self.worker
        info = request_info(
            agreement=intent.agreement,
            session=intent.session,
            seq=intent.seq,
            variant=intent.variant,
            evidence=intent.evidence,
        )
        request = SealedRequest.parse(open_request(worker.hpke, info, sealed))
        assert isinstance(request.request, ChatRequest)
        self.calls.append(intent.handle)
        key = decode(request.response_key)
        answer = self.answer(request.request)
        result = answer if isinstance(answer, ChatResult) else ChatResult(content=answer)
        told = ChatResult(content="another") if does("wrong_answer") else result
        writer, sealer = EventWriter(), FrameSealer(key)
        parts = [*writer.delta(result.content), *writer.result(told.to_bytes())]
        ciphertexts = [sealer.seal(data, final=final) for data, final in parts]
        commitment = result_commitment(result, response_salt(key))
        root = frames_root(ciphertexts)
        statement = worker_signature_input(
            agreement=intent.agreement,
            session=intent.session,
            seq=intent.seq,
            frames_root=root,
            frames=len(parts),
            result_commitment=commitment,
        )
        signature = worker.signer.sign(statement + (b"x" if does("worker_signature") else b""))
        held.frames = [
            SealedFrame(number, ciphertext, parts[number][1]) for number, ciphertext in enumerate(ciphertexts)
        ]
        response = Response(
            frames=len(parts), frames_root=root, commitment=commitment, worker_signature=encode(signature)
        )
        self._end(held, "COMPLETED", None, response, "tool_calls" if result.tool_calls else self.finish_reason)

    def _end(
        self, held: Held, status: Any, code: str | None, response: Response | None = None, reason: Any = None
    ) -> None:
        envelope = self._record(held, status, code, response, reason)
        self.append(LogEntry("record", (envelope,)))
        self.prev[held.intent.session] = envelope.digest
        held.ended = Recorded(envelope)
        if self.now_does("two_records"):
            held.ended = Recorded(self._record(held, status, code, response, reason))
            self.prev[held.intent.session] = held.ended.envelope.digest

    def _record(self, held: Held, status: Any, code: str | None, response: Response | None, reason: Any) -> Envelope:
        assert held.promise is not None
        intent, does, promise = held.intent, self.now_does, Promise.parse(held.promise.payload)
        index, at = self.next_place()
        used = Usage(input_tokens=7, cached_tokens=0, output_tokens=3, reasoning_tokens=0)
        usage = used if response else Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
        before = self.meter
        after = Meter(
            requests=str(int(before.requests) + 1),
            input_tokens=str(int(before.input_tokens) + usage.input_tokens + (1 if does("meter") else 0)),
            output_tokens=str(int(before.output_tokens) + usage.output_tokens),
        )
        self.meter = after
        record = Record(
            agreement=intent.agreement,
            session=intent.session,
            seq=intent.seq,
            promise=held.promise.digest,
            log_index=str(index),
            status=status,
            code=code,
            response=response,
            finish_reason=reason,
            usage=usage,
            meter_before=before,
            meter_after=after,
            started_at=promise.promised_at,
            finished_at=format_time(at),
            manifest="99" * 32 if does("record_other_model") else promise.manifest,
            variant=promise.variant,
            router=Router(used=False, served="cheaper" if does("silent_routing") else None),
            worker=self.worker.boot,
            redeliver_until=format_time(at + timedelta(hours=1)),
        )
        return self.signed(record)


class SimulatedStream:
    """One stream; messages wait in a queue until they are asked for."""

    def __init__(self, lab: SimulatedLab) -> None:
        self._lab = lab
        self._down: asyncio.Queue[tuple[str, Answer | PhaseViolation]] = asyncio.Queue()
        self._held: Held | None = None

    async def intend(self, intent: Envelope) -> None:
        self._lose("intent")
        self._held = held = self._lab.intend(intent)
        if held.promise is not None:
            self._down.put_nowait(("promise", Promised(held.promise)))
        if held.ended is not None:
            self._finish(held)

    async def reveal(self, sealed: bytes, seed_share: bytes) -> None:
        self._lose("reveal")
        assert self._held is not None
        before = self._held.ended
        if before is None and self._lab.delay:
            await asyncio.sleep(self._lab.delay)
            before = self._held.ended
        try:
            self._lab.reveal(self._held, sealed, seed_share)
        except PhaseViolation as error:
            self._down.put_nowait(("error", error))  # after everything that was sent before it
            return
        if before is None:
            self._finish(self._held)

    async def cancel(self, cancel: Envelope) -> None:
        raise NotImplementedError

    async def receive(self) -> Answer:
        step, answer = await self._down.get()
        self._lose(step)
        if isinstance(answer, PhaseViolation):
            raise answer
        return answer

    def _finish(self, held: Held) -> None:
        frames = list(held.frames)
        if frames and self._lab.now_does("drop_frame"):
            frames = frames[1:]
        if frames and self._lab.now_does("truncate"):
            frames = frames[:-1]
        if frames and self._lab.now_does("truncate_for_ever"):
            frames = held.frames = frames[:-1]
        for frame in frames:
            self._down.put_nowait(("frame", frame))
        assert held.ended is not None
        self._down.put_nowait(("record", held.ended))

    def _lose(self, step: str) -> None:
        if self._lab.loses(step):
            raise LabUnreachable("the stream broke", call="Exchange")
