"""Opens a sealed request, asks the model, seals the answer frame by frame, and keeps nothing.

One (agreement, session, seq) runs at most once in a boot, whatever the gateway asks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import FreshSalts
from attestations.digests import sha256
from attestations.documents.base import decode, encode, validated
from attestations.documents.dialogue import (
    ChatRequest,
    Sampling,
    SealedRequest,
    request_commitment,
    result_commitment,
)
from attestations.documents.exchange import Response, Router, SafetyLayer, Usage
from attestations.errors import (
    BackendFailed,
    ReplayDetected,
    SafeconductError,
    ScopeExceeded,
    SealedOpenFailed,
)
from attestations.frames import EventWriter, FrameSealer, PlainFrame, frames_root, response_salt, worker_signature_input
from attestations.keys import KeyUse, P256Signer
from attestations.sealing import WorkerKey, open_request, request_info
from lab_server.model_port import Delta, Finished, ModelBackend
from lab_server.ports import Job, JobOutcome, StoredFrame

FLUSH_SECONDS = 0.1  # how long text may wait for a frame to fill: a reader sees it come, a frame is not a token
_NOTHING = Usage(input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
_NO_FILTER = SafetyLayer(input="none", output="none")


@dataclass(frozen=True)
class Served:
    """One variant and the backend behind it."""

    id: str
    manifest: str
    template: str
    backend: ModelBackend
    fingerprint: str


@dataclass(frozen=True)
class AgreementKeys:
    """The keys one boot made for one agreement."""

    hpke: WorkerKey
    signer: P256Signer


class SealedRuns:
    """Runs sealed requests with the keys of this boot."""

    def __init__(self, served: dict[str, Served]) -> None:
        self._served = served
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

    def forget(self, agreement: str) -> None:
        """Drop the keys of one agreement; what was sealed to them can no longer be opened."""
        self._keys.pop(agreement, None)
        self._salts.pop(agreement, None)
        self._seen = {place for place in self._seen if place[0] != agreement}

    async def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Give the sealed frames as they come, then exactly one outcome; never raises."""
        served = self._served.get(job.variant)
        manifest = "0" * 64 if served is None else served.manifest
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
        uses_tools = isinstance(sealed.request, ChatRequest) and bool(sealed.request.tools)
        if sealed.request.operation != job.operation or (uses_tools and not job.tools):
            yield _ended("REFUSED_POLICY", "OPERATION_MISMATCH", served.manifest)
            return
        async for item in self._answer(job, served, sealed):
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
        return SealedRequest.parse(open_request(keys.hpke, info, job.sealed))

    async def _answer(self, job: Job, served: Served, sealed: SealedRequest) -> AsyncIterator[StoredFrame | JobOutcome]:
        sampling = validated(Sampling, parse_canonical(job.sampling))
        seed = job.seed % 2**32  # backends take 32 bits
        config = sha256(
            canonical_bytes({"backend": served.fingerprint, "sampling": sampling.json_value(), "seed": str(seed)})
        )
        try:
            async with asyncio.timeout(job.deadline_seconds):
                frames = _Frames(decode(sealed.response_key))
                async for item in _timed(served.backend, sealed, sampling, seed, job.deadline_seconds):
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
                        yield self._completed(job, served, item, frames, decode(sealed.response_key), config)
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

    def _completed(
        self, job: Job, served: Served, finished: Finished, frames: _Frames, response_key: bytes, config: str
    ) -> JobOutcome:
        commitment = result_commitment(finished.result, response_salt(response_key))
        root = frames_root(frames.ciphertexts)
        signed = worker_signature_input(
            agreement=job.agreement,
            session=job.session,
            seq=job.seq,
            frames_root=root,
            frames=len(frames.ciphertexts),
            result_commitment=commitment,
        )
        return JobOutcome(
            status="COMPLETED",
            code=None,
            response=Response(
                frames=len(frames.ciphertexts),
                frames_root=root,
                commitment=commitment,
                worker_signature=encode(self._keys[job.agreement].signer.sign(signed)),
            ),
            finish_reason=finished.finish_reason,
            usage=finished.usage,
            decode_config=config,
            manifest=served.manifest,
            router=Router(used=finished.router_used, served=finished.actual_model if finished.router_used else None),
            safety=finished.safety or _NO_FILTER,
            fingerprint=served.fingerprint,
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
    backend: ModelBackend, sealed: SealedRequest, sampling: Sampling, seed: int, seconds: float
) -> AsyncIterator[Delta | Finished | None]:
    """Give what the backend yields, and None whenever text has waited long enough for its frame."""
    answers = backend.answer(sealed.request, sampling, seed=seed, deadline_seconds=seconds)
    loop = asyncio.get_running_loop()
    flushed = loop.time()
    async for item in answers:
        yield item
        if isinstance(item, Delta) and loop.time() - flushed >= FLUSH_SECONDS:
            flushed = loop.time()
            yield None


def _ended(status: str, code: str, manifest: str) -> JobOutcome:
    return JobOutcome(
        status=status,
        code=code,
        response=None,
        finish_reason=None,
        usage=_NOTHING,
        decode_config=None,
        manifest=manifest,
        router=Router(used=False),
        safety=_NO_FILTER,
        fingerprint=None,
    )
