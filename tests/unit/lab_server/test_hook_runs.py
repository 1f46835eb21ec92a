"""What a hook is asked travels as every exchange does; what it did is stated beside the answer."""

from __future__ import annotations

import asyncio

import pytest

from attestations.documents.asking import SealedRequest, parse_result, request_commitment
from attestations.documents.base import encode
from attestations.documents.hooks import SandboxStatement
from attestations.documents.sandboxing import Close, Closed, SandboxRequest, SandboxResult
from attestations.frames import EventReader, FrameOpener
from attestations.sealing import request_info, seal_request
from lab_server.backends.scripted import ScriptedBackend
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.ports import Job, JobOutcome, StoredFrame
from lab_server.services.worker import job_from_wire, outcome_to_wire
from lab_server.services.worker_client import job_to_wire, outcome_from_wire
from lab_server.worker.sealed_runs import SealedRuns, Served
from tests.support.sandbox_statements import sandbox_statement

AGREEMENT, EVIDENCE, KEY, SALT = "aa" * 32, "bb" * 32, bytes(range(32)), bytes(32)
REQUEST = SandboxRequest(action=Close())
STATEMENT = sandbox_statement(sandbox="box-1", state="CLOSED", tier="none")


class Answering:
    """A hook that does what it was made with."""

    def __init__(self, does: Done | NotDone | None) -> None:
        self.does = does
        self.places: list[HookPlace] = []
        self.forgotten: list[str] = []

    async def answer(self, request: object, place: HookPlace, *, deadline_seconds: float) -> Done | NotDone:
        assert request == REQUEST
        self.places.append(place)
        if self.does is None:
            await asyncio.sleep(deadline_seconds * 10)
        assert self.does is not None
        return self.does

    async def forget(self, agreement: str) -> None:
        self.forgotten.append(agreement)

    async def close(self) -> None: ...


def job(runs: SealedRuns, *, operation: str = "sandbox", seconds: float = 5.0) -> Job:
    plain = SealedRequest(request=REQUEST, response_key=encode(KEY), salt=encode(SALT)).to_bytes()
    info = request_info(agreement=AGREEMENT, session="lane", seq=0, variant="rehearsed", evidence=EVIDENCE)
    return Job(
        agreement=AGREEMENT,
        session="lane",
        seq=0,
        variant="rehearsed",
        operation=operation,
        tools=False,
        evidence=EVIDENCE,
        sealed=seal_request(runs.enrol(AGREEMENT).hpke.public, info, plain),
        plaintext_commit=request_commitment(REQUEST, SALT),
        sampling=b"",
        seed=0,
        max_input_tokens=0,
        deadline_seconds=seconds,
    )


def runs_with(hook: Answering | None) -> SealedRuns:
    served = Served("rehearsed", "cc" * 32, "dd" * 32, ScriptedBackend(("a model",)), "ee" * 32)
    return SealedRuns({"rehearsed": served}, {} if hook is None else {"sandbox": hook})


async def ended(runs: SealedRuns, asked: Job) -> tuple[list[StoredFrame], JobOutcome]:
    items = [item async for item in runs.run(job_from_wire(job_to_wire(asked)))]
    last = items.pop()
    assert isinstance(last, JobOutcome)
    return [item for item in items if isinstance(item, StoredFrame)], outcome_from_wire(outcome_to_wire(last))


async def test_a_hook_answers_sealed_and_its_statement_comes_with_the_outcome() -> None:
    hook = Answering(Done(SandboxResult(result=Closed()), STATEMENT))
    runs = runs_with(hook)
    frames, outcome = await ended(runs, job(runs))

    assert (outcome.status, outcome.hook) == ("COMPLETED", STATEMENT)
    assert hook.places == [HookPlace(AGREEMENT, "lane", 0, "rehearsed", request_commitment(REQUEST, SALT), 0, 0)]
    opener, reader = FrameOpener(KEY), EventReader()
    events = [e for f in frames for e in reader.feed(opener.open(f.number, f.ciphertext, final=f.final))]
    assert parse_result(events[-1].data, "sandbox") == SandboxResult(result=Closed())


@pytest.mark.parametrize(
    ("does", "status", "code", "stated"),
    [
        (NotDone("ERROR", "SANDBOX_LOST", STATEMENT), "ERROR", "SANDBOX_LOST", STATEMENT),
        (NotDone("REFUSED_POLICY", "SANDBOX_UNAVAILABLE"), "REFUSED_POLICY", "SANDBOX_UNAVAILABLE", None),
        (None, "TIMEOUT", "RESPOND_OVERDUE", None),
    ],
)
async def test_what_a_hook_cannot_do_is_recorded_with_its_reason(
    does: NotDone | None, status: str, code: str, stated: SandboxStatement | None
) -> None:
    runs = runs_with(Answering(does))
    frames, outcome = await ended(runs, job(runs, seconds=0.05))
    assert (frames, outcome.status, outcome.code, outcome.hook) == ([], status, code, stated)


async def test_a_worker_without_the_hook_never_gives_its_request_to_a_model() -> None:
    runs = runs_with(None)
    assert (await ended(runs, job(runs)))[1].code == "HOOK_REFUSED"
    runs = runs_with(None)
    assert (await ended(runs, job(runs, operation="chat")))[1].code == "OPERATION_MISMATCH"


async def test_a_hook_forgets_with_its_agreement() -> None:
    hook = Answering(None)
    await runs_with(hook).forget(AGREEMENT)
    assert hook.forgotten == [AGREEMENT]
