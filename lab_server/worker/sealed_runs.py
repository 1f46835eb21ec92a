"""Opens a sealed request, asks the model, seals the answer frame by frame, and keeps nothing.

One (agreement, session, seq) runs at most once in a boot, whatever the gateway asks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import FreshSalts
from attestations.digests import sha256
from attestations.documents.asking import (
    AnyRequest,
    AnyResult,
    SealedRequest,
    parse_sealed,
    request_commitment,
    result_commitment,
)
from attestations.documents.base import decode, encode, validated
from attestations.documents.dialogue import ChatRequest, CountRequest, ModelRequest, Sampling, ScoreRequest
from attestations.documents.exchange import Response, Router, SafetyLayer
from attestations.errors import (
    BackendFailed,
    HookRefused,
    ReplayDetected,
    SafeconductError,
    ScopeExceeded,
    SealedOpenFailed,
)
from attestations.frames import EventWriter, FrameSealer, PlainFrame, frames_root, response_salt, worker_signature_input
from attestations.keys import KeyUse, P256Signer
from attestations.sealing import WorkerKey, open_request, request_info
from lab_server.hook_port import NOTHING_USED, Done, HookHandler, HookPlace
from lab_server.model_port import Delta, Finished, ModelBackend
from lab_server.ports import Job, JobOutcome, StoredFrame

FLUSH_SECONDS = 0.1  # how long text may wait for a frame to fill: a reader sees it come, a frame is not a token
_NO_FILTER = SafetyLayer(input="none", output="none")


@dataclass(frozen=True)
class Served:
    """One variant and the backend behind it."""

    id: str
    manifest: str
    template: str
    backend: ModelBackend
    fingerprint: str


FindDerived = Callable[[str, str], Awaitable[Served | None]]
"""From an agreement and a variant to what a fine-tune job of that agreement made, ready to answer."""


@dataclass(frozen=True)
class AgreementKeys:
    """The keys one boot made for one agreement."""

    hpke: WorkerKey
    signer: P256Signer


class SealedRuns:
    """Runs sealed requests with the keys of this boot."""

    def __init__(
        self,
        served: dict[str, Served],
        hooks: Mapping[str, HookHandler] | None = None,
        derived: FindDerived | None = None,
    ) -> None:
        """Ask the backends of `served` by variant, what `derived` finds beside them, and `hooks` by operation."""
        self._served = served
        self._derived = derived
        self._hooks = hooks or {}
        self._keys: dict[str, AgreementKeys] = {}
        self._seen: set[tuple[str, str, int]] = set()
        self._salts: defaultdict[str, FreshSalts] = defaultdict(FreshSalts)

    def enrol(self, agreement: str) -> AgreementKeys:
        """Return the keys of one agreement, made when first asked for."""
        if agreement not in self._keys:
            self._keys[agreement] = AgreementKeys(
                WorkerKey.generate(), P256Signer.generate(party="worker", use=KeyUse.WORKER)
            )
        return self._keys[agreement]

    async def forget(self, agreement: str) -> None:
        """Drop the keys of one agreement; what was sealed to them can no longer be opened, and hooks keep nothing."""
        self._keys.pop(agreement, None)
        self._salts.pop(agreement, None)
        self._seen = {place for place in self._seen if place[0] != agreement}
        forgetting = [hook.forget(agreement) for hook in self._hooks.values()]
        for error in await asyncio.gather(*forgetting, return_exceptions=True):
            if error is not None:  # the other hooks have forgotten all the same
                raise error

    async def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Give the sealed frames as they come, then exactly one outcome; never raises."""
        own = self._served.get(job.variant)
        manifest = "0" * 64 if own is None else own.manifest
        try:
            async for item in self._run(job):
                yield item
        except SafeconductError as error:
            yield _ended("ERROR", error.reason, manifest)
        except Exception as error:  # noqa: BLE001 - its message and traceback could hold what was opened
            yield _ended("ERROR", f"WORKER_{type(error).__name__}", manifest)

    async def _run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        place = (job.agreement, job.session, job.seq)
        served = self._served.get(job.variant)
        if served is None and self._derived is not None:
            served = await self._derived(job.agreement, job.variant)
        if served is None:
            yield _ended("ERROR", "VARIANT_NOT_SERVED", "0" * 64)
            return
        if place in self._seen:
            # The gateway asks once; a second time would be a second draw.
            yield _ended("ERROR", ReplayDetected("").reason, served.manifest)
            return
        self._seen.add(place)
        sealed = self._open(job)
        # A second answer under one response key would use its nonces twice, and equal salts tell equal requests.
        for salt in (decode(sealed.salt), decode(sealed.response_key)):
            self._salts[job.agreement].take(salt)
        commitment = request_commitment(sealed.request, decode(sealed.salt))
        if commitment != job.plaintext_commit:
            yield _ended("ERROR", "PLAINTEXT_COMMIT_MISMATCH", served.manifest)
            return
        request, key = sealed.request, decode(sealed.response_key)
        uses_tools = isinstance(request, ChatRequest) and bool(request.tools)
        if request.operation != job.operation or (uses_tools and not job.tools):
            yield _ended("REFUSED_POLICY", "OPERATION_MISMATCH", served.manifest)
            return
        if isinstance(request, ChatRequest | ScoreRequest | CountRequest):
            answers = self._answer(job, served, request, key)
        else:
            answers = self._hook(job, served, request, key)
        async for item in answers:
            yield item

    def _open(self, job: Job) -> SealedRequest:
        keys = self._keys.get(job.agreement)
        if keys is None:
            raise SealedOpenFailed("no key for this agreement in this boot")
        info = request_info(
            agreement=job.agreement,
            session=job.session,
            seq=job.seq,
            variant=job.variant,
            evidence=job.evidence,
        )
        return parse_sealed(open_request(keys.hpke, info, job.sealed), job.operation)

    async def _answer(
        self, job: Job, served: Served, request: ModelRequest, response_key: bytes
    ) -> AsyncIterator[StoredFrame | JobOutcome]:
        sampling = validated(Sampling, parse_canonical(job.sampling))
        seed = job.seed % 2**32  # backends take 32 bits
        config = sha256(
            canonical_bytes({"backend": served.fingerprint, "sampling": sampling.json_value(), "seed": str(seed)})
        )
        try:
            async with asyncio.timeout(job.deadline_seconds):
                frames = _Frames(response_key)
                async for item in _timed(served.backend, request, sampling, seed, job.deadline_seconds):
                    if item is None:
                        for frame in frames.flush():
                            yield frame
                    elif isinstance(item, Delta):
                        for frame in frames.delta(item.text):
                            yield frame
                    else:
                        if item.usage.input_tokens > job.max_input_tokens:
                            yield _ended("REFUSED_POLICY", "INPUT_BUDGET_EXCEEDED", served.manifest)
                            return
                        for frame in frames.result(item.result.to_bytes()):
                            yield frame
                        yield self._completed(job, served, item, frames, response_key, config)
        except TimeoutError:
            yield _ended("TIMEOUT", "RESPOND_OVERDUE", served.manifest)
        except ScopeExceeded as error:
            yield _ended(
                "REFUSED_POLICY",
                f"UNSUPPORTED_{error.facts.get('feature', '').upper() or 'OPERATION'}",
                served.manifest,
            )
        except BackendFailed as error:
            yield _ended("ERROR", f"BACKEND_{error.facts.get('code', 'failed').upper()}", served.manifest)

    async def _hook(
        self, job: Job, served: Served, request: AnyRequest, response_key: bytes
    ) -> AsyncIterator[StoredFrame | JobOutcome]:
        handler = self._hooks.get(job.operation)
        if handler is None:
            yield _ended("REFUSED_POLICY", HookRefused("").reason, served.manifest)
            return
        place = HookPlace(
            job.agreement, job.session, job.seq, job.variant, job.plaintext_commit, job.seed, job.max_input_tokens
        )
        try:
            async with asyncio.timeout(job.deadline_seconds):
                done = await handler.answer(request, place, deadline_seconds=job.deadline_seconds)
        except TimeoutError:
            yield _ended("TIMEOUT", "RESPOND_OVERDUE", served.manifest)
            return
        if not isinstance(done, Done):
            yield replace(_ended(done.status, done.code, served.manifest), hook=done.statement)
            return
        frames = _Frames(response_key)
        for frame in frames.result(done.result.to_bytes()):
            yield frame
        ended = _ended("COMPLETED", None, served.manifest)
        response = self._response(job, done.result, frames, response_key)
        yield replace(ended, response=response, finish_reason="stop", usage=done.usage, hook=done.statement)

    def _completed(
        self, job: Job, served: Served, finished: Finished, frames: _Frames, response_key: bytes, config: str
    ) -> JobOutcome:
        return JobOutcome(
            status="COMPLETED",
            code=None,
            response=self._response(job, finished.result, frames, response_key),
            finish_reason=finished.finish_reason,
            usage=finished.usage,
            decode_config=config,
            manifest=served.manifest,
            router=Router(used=finished.router_used, served=finished.actual_model if finished.router_used else None),
            safety=finished.safety or _NO_FILTER,
            fingerprint=served.fingerprint,
        )

    def _response(self, job: Job, result: AnyResult, frames: _Frames, response_key: bytes) -> Response:
        commitment = result_commitment(result, response_salt(response_key))
        root = frames_root(frames.ciphertexts)
        signed = worker_signature_input(
            agreement=job.agreement,
            session=job.session,
            seq=job.seq,
            frames_root=root,
            frames=len(frames.ciphertexts),
            result_commitment=commitment,
        )
        return Response(
            frames=len(frames.ciphertexts),
            frames_root=root,
            commitment=commitment,
            worker_signature=encode(self._keys[job.agreement].signer.sign(signed)),
        )


class _Frames:
    """Seals one answer's events into frames and remembers the ciphertexts until it is complete."""

    def __init__(self, response_key: bytes) -> None:
        self._writer = EventWriter()
        self._sealer = FrameSealer(response_key)
        self.ciphertexts: list[bytes] = []

    def delta(self, text: str) -> list[StoredFrame]:
        return self._seal(self._writer.delta(text))

    def flush(self) -> list[StoredFrame]:
        return self._seal(self._writer.flush())

    def result(self, data: bytes) -> list[StoredFrame]:
        return self._seal(self._writer.result(data))

    def _seal(self, ready: Iterable[PlainFrame]) -> list[StoredFrame]:
        sealed = []
        for data, final in ready:
            ciphertext = self._sealer.seal(data, final=final)
            sealed.append(StoredFrame(len(self.ciphertexts), ciphertext, final))
            self.ciphertexts.append(ciphertext)
        return sealed


async def _timed(
    backend: ModelBackend, request: ModelRequest, sampling: Sampling, seed: int, seconds: float
) -> AsyncIterator[Delta | Finished | None]:
    """Give what the backend yields, and None whenever text has waited long enough for its frame."""
    answers = backend.answer(request, sampling, seed=seed, deadline_seconds=seconds)
    loop = asyncio.get_running_loop()
    flushed = loop.time()
    async for item in answers:
        yield item
        if isinstance(item, Delta) and loop.time() - flushed >= FLUSH_SECONDS:
            flushed = loop.time()
            yield None


def _ended(status: str, code: str | None, manifest: str) -> JobOutcome:
    return JobOutcome(
        status=status,
        code=code,
        response=None,
        finish_reason=None,
        usage=NOTHING_USED,
        decode_config=None,
        manifest=manifest,
        router=Router(used=False),
        safety=_NO_FILTER,
        fingerprint=None,
    )
