"""The worker opens, checks, asks once, seals and forgets; whatever happens inside, nothing of it leaks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from attestations.canonical import canonical_bytes
from attestations.documents.asking import SealedRequest, request_commitment, result_commitment
from attestations.documents.base import decode, encode
from attestations.documents.dialogue import ChatRequest, ChatResult, Message, Sampling
from attestations.frames import EventReader, FrameOpener, frames_root, response_salt, worker_signature_input
from attestations.sealing import request_info, seal_request
from lab_server.backends.script_file import Script
from lab_server.backends.scripted import ScriptedBackend
from lab_server.model_port import BackendIdentity, Capabilities, Delta, Finished
from lab_server.ports import Job, JobOutcome, StoredFrame
from lab_server.worker.enrolment import DeclaredRuntime, Enrolment, report_binding
from lab_server.worker.sealed_runs import SealedRuns, Served
from tests.support.software_attester import FORMAT, SoftwareAttester, report_holds

AGREEMENT, EVIDENCE, MANIFEST = "aa" * 32, "bb" * 32, "cc" * 32
CANARY = "canary-in-the-prompt"
SALT, RESPONSE_KEY = bytes(32), bytes(range(32))


def runs_with(backend: Any) -> SealedRuns:
    return SealedRuns({"rehearsed": Served("rehearsed", MANIFEST, "dd" * 32, backend, "ee" * 32)})


def job(runs: SealedRuns, *, seq: int = 0, sealed: bytes | None = None, **changes: Any) -> Job:
    request = ChatRequest(messages=(Message(role="user", content=CANARY),))
    plain = SealedRequest(request=request, response_key=encode(RESPONSE_KEY), salt=encode(SALT)).to_bytes()
    info = request_info(agreement=AGREEMENT, session="lane", seq=seq, variant="rehearsed", evidence=EVIDENCE)
    values: dict[str, Any] = {
        "agreement": AGREEMENT,
        "session": "lane",
        "seq": seq,
        "variant": "rehearsed",
        "operation": "chat",
        "tools": False,
        "evidence": EVIDENCE,
        "sealed": sealed or seal_request(runs.enrol(AGREEMENT).hpke.public, info, plain),
        "plaintext_commit": request_commitment(request, SALT),
        "sampling": canonical_bytes(Sampling(max_output_tokens=64).json_value()),
        "seed": 2**64 - 1,
        "max_input_tokens": 64,
        "deadline_seconds": 5.0,
    }
    return Job(**{**values, **changes})


async def outcome(runs: SealedRuns, asked: Job) -> tuple[list[StoredFrame], JobOutcome]:
    items = [item async for item in runs.run(asked)]
    last = items.pop()
    assert isinstance(last, JobOutcome)
    return [item for item in items if isinstance(item, StoredFrame)], last


@pytest.mark.parametrize(
    ("response_key", "salt"),
    [(RESPONSE_KEY, os.urandom(32)), (os.urandom(32), SALT), (SALT, RESPONSE_KEY), (b"short", os.urandom(32))],
    ids=["a used key", "a used salt", "both used", "a short key"],
)
async def test_a_salt_or_response_key_that_is_weak_is_not_answered_under(response_key: bytes, salt: bytes) -> None:
    """T036: a second answer under one key would use its nonces twice."""
    runs = runs_with(ScriptedBackend(("a short answer",)))
    assert (await outcome(runs, job(runs)))[1].status == "COMPLETED"
    request = ChatRequest(messages=(Message(role="user", content=CANARY),))
    plain = SealedRequest(request=request, response_key=encode(response_key), salt=encode(salt)).to_bytes()
    info = request_info(agreement=AGREEMENT, session="lane", seq=1, variant="rehearsed", evidence=EVIDENCE)
    sealed = seal_request(runs.enrol(AGREEMENT).hpke.public, info, plain)
    commit = request_commitment(request, salt)

    frames, ended = await outcome(runs, job(runs, seq=1, sealed=sealed, plaintext_commit=commit))
    assert (frames, ended.status, ended.code) == ([], "ERROR", "WEAK_SALT")


async def test_an_answer_opens_under_the_key_that_came_sealed_and_is_signed() -> None:
    runs = runs_with(ScriptedBackend(("a short answer",)))
    frames, ended = await outcome(runs, job(runs))

    assert ended.status == "COMPLETED"
    opener, reader = FrameOpener(RESPONSE_KEY), EventReader()
    events = [
        event
        for frame in frames
        for event in reader.feed(opener.open(frame.number, frame.ciphertext, final=frame.final))
    ]
    reader.finish()
    result = ChatResult.parse(events[-1].data)
    assert result.content == "a short answer"
    assert ended.response is not None
    assert ended.response.commitment == result_commitment(result, response_salt(RESPONSE_KEY))
    signed = worker_signature_input(
        agreement=AGREEMENT,
        session="lane",
        seq=0,
        frames_root=frames_root(frame.ciphertext for frame in frames),
        frames=len(frames),
        result_commitment=ended.response.commitment,
    )
    assert runs.enrol(AGREEMENT).signer.key.verify(decode(ended.response.worker_signature), signed)


async def test_one_place_is_asked_once() -> None:
    runs = runs_with(ScriptedBackend(("first", "second")))
    asked = job(runs)
    assert (await outcome(runs, asked))[1].status == "COMPLETED"
    frames, again = await outcome(runs, asked)
    assert (frames, again.status, again.code) == ([], "ERROR", "REPLAY_DETECTED")


async def test_text_reaches_the_reader_while_it_is_generated() -> None:
    runs = runs_with(ScriptedBackend(script=Script(otherwise="one two three four", seconds_per_token=0.06)))
    arrived = [isinstance(item, StoredFrame) and not item.final async for item in runs.run(job(runs))]
    assert sum(arrived) >= 1


async def test_what_was_sealed_for_another_place_or_after_forgetting_does_not_open() -> None:
    runs = runs_with(ScriptedBackend(("answer",)))
    elsewhere = job(runs, seq=1)
    assert (await outcome(runs, job(runs, sealed=elsewhere.sealed)))[1].code == "SEALED_OPEN_FAILED"
    asked = job(runs, seq=2)
    await runs.forget(AGREEMENT)
    assert (await outcome(runs, asked))[1].code == "SEALED_OPEN_FAILED"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"plaintext_commit": "99" * 32}, "ERROR", "PLAINTEXT_COMMIT_MISMATCH"),
        ({"operation": "score"}, "REFUSED_POLICY", "OPERATION_MISMATCH"),
        ({"variant": "other"}, "ERROR", "VARIANT_NOT_SERVED"),
        ({"max_input_tokens": 0}, "REFUSED_POLICY", "INPUT_BUDGET_EXCEEDED"),
        ({"sampling": b"{}"}, "ERROR", "MALFORMED_ENVELOPE"),
    ],
)
async def test_what_does_not_fit_is_not_answered(changes: dict[str, Any], status: str, code: str) -> None:
    runs = runs_with(ScriptedBackend(("answer",)))
    _, ended = await outcome(runs, job(runs, **changes))
    assert (ended.status, ended.code) == (status, code)
    assert ended.response is None


async def test_a_model_that_stalls_or_fails_is_said_so() -> None:
    slow = runs_with(ScriptedBackend(script=Script(otherwise="late", stall_seconds=5)))
    ended = (await outcome(slow, job(slow, deadline_seconds=0.1)))[1]
    assert ended.status in ("TIMEOUT", "ERROR")
    assert ended.code in ("RESPOND_OVERDUE", "BACKEND_STALLED")
    broken = runs_with(ScriptedBackend(script=Script(otherwise="a b c d", truncate_after_tokens=2)))
    assert (await outcome(broken, job(broken)))[1].code == "BACKEND_TRUNCATED"


class Leaky:
    """A backend with a bug whose message holds the prompt."""

    capabilities = Capabilities(
        chat=True, tools=True, score=True, top_logprobs=0, streaming=True, seed=True, count=True, max_context_tokens=0
    )

    async def identify(self) -> BackendIdentity:
        return BackendIdentity("leaky", "1", None, "dd" * 32, "ee" * 32)

    async def answer(self, request: Any, *_: Any, **__: Any) -> AsyncIterator[Delta | Finished]:
        await asyncio.sleep(0)
        if request:
            raise RuntimeError(f"bug while reading {request}")
        yield Delta("")

    async def close(self) -> None: ...


async def test_a_bug_in_a_backend_tells_nothing_of_what_it_read() -> None:
    runs = runs_with(Leaky())
    frames, ended = await outcome(runs, job(runs))
    assert (frames, ended.status, ended.code) == ([], "ERROR", "WORKER_RuntimeError")
    assert CANARY not in repr(ended)


def test_keys_are_made_anew_for_each_agreement_and_boot() -> None:
    runs = runs_with(ScriptedBackend())
    assert runs.enrol(AGREEMENT) is runs.enrol(AGREEMENT)
    assert runs.enrol(AGREEMENT).hpke.public != runs.enrol("bb" * 32).hpke.public
    assert runs_with(ScriptedBackend()).enrol(AGREEMENT).hpke.public != runs.enrol(AGREEMENT).hpke.public


def test_runtime_evidence_binds_the_keys_the_boot_and_the_agreement() -> None:
    runs, chip = runs_with(ScriptedBackend()), SoftwareAttester()
    enrolment = Enrolment(boot=os.urandom(8).hex(), backend="scripted/1", variants=(), runs=runs, attester=chip)
    keys = enrolment.keys(AGREEMENT)
    assert keys.report_format == FORMAT
    assert keys.report is not None
    binding = report_binding(keys.hpke_public, keys.worker_public, keys.boot, AGREEMENT)
    assert report_holds(chip.root, binding, keys.report)
    other = report_binding(keys.hpke_public, keys.worker_public, keys.boot, "bb" * 32)
    assert not report_holds(chip.root, other, keys.report)


def test_without_hardware_there_is_no_report() -> None:
    runs = runs_with(ScriptedBackend())
    enrolment = Enrolment(boot="boot", backend="scripted/1", variants=(), runs=runs, attester=DeclaredRuntime())
    assert (enrolment.keys(AGREEMENT).report, enrolment.keys(AGREEMENT).report_format) == (None, None)
