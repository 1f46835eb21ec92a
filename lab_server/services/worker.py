"""WorkerService on the worker's unix socket, over `SealedRuns`."""
# ruff: noqa: N802, ARG002 - the handlers have the names and arguments gRPC gives them

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc.aio

from attestations.canonical import canonical_bytes
from lab_server.ports import Job, JobOutcome, WorkerKeys
from lab_server.services.wire import Context
from lab_server.worker.enrolment import Enrolment
from lab_server.worker.sealed_runs import SealedRuns
from safeconduct.v1 import worker_service_pb2 as pb, worker_service_pb2_grpc as grpc_pb

MAX_MESSAGE_BYTES = 8 << 20  # a sealed request of 3 MiB, and room
_GOING_SECONDS = 1.0


@asynccontextmanager
async def serving_worker(socket: str, *, runs: SealedRuns, enrolment: Enrolment) -> AsyncIterator[None]:
    """Serve the worker on a unix socket that only this user may open."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    grpc_pb.add_WorkerServiceServicer_to_server(WorkerServicer(runs=runs, enrolment=enrolment), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    os.chmod(socket, 0o600)  # noqa: PTH101 - one call that does not wait
    try:
        yield
    finally:
        await server.stop(_GOING_SECONDS)


class WorkerServicer(grpc_pb.WorkerServiceServicer):
    """Runs sealed requests for the gateway."""

    def __init__(self, *, runs: SealedRuns, enrolment: Enrolment) -> None:
        self._runs = runs
        self._enrolment = enrolment

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        """Return the keys of one agreement."""
        return keys_to_wire(self._enrolment.keys(request.agreement))

    async def Run(
        self, request_iterator: AsyncIterator[pb.RunRequest], context: Context
    ) -> AsyncIterator[pb.RunResponse]:
        """Run requests until the gateway goes."""
        answers: asyncio.Queue[pb.RunResponse] = asyncio.Queue()
        running: dict[int, asyncio.Task[None]] = {}
        reading = asyncio.create_task(self._read(request_iterator, answers, running))
        try:
            while True:
                yield await answers.get()
        finally:
            for task in (reading, *running.values()):
                task.cancel()

    async def _read(
        self,
        requests: AsyncIterator[pb.RunRequest],
        answers: asyncio.Queue[pb.RunResponse],
        running: dict[int, asyncio.Task[None]],
    ) -> None:
        async for request in requests:
            call = request.call
            if request.WhichOneof("message") == "job":
                task = asyncio.create_task(self._answer(call, job_from_wire(request.job), answers))
                running[call] = task
                task.add_done_callback(partial(_forget, running, call))
            elif call in running:
                running[call].cancel()

    async def _answer(self, call: int, job: Job, answers: asyncio.Queue[pb.RunResponse]) -> None:
        last: list[pb.RunFrame] = []
        async for item in self._runs.run(job):
            if isinstance(item, JobOutcome):
                # The final frame counts only with the outcome, so both travel together.
                answers.put_nowait(pb.RunResponse(call=call, frames=last, outcome=outcome_to_wire(item)))
                return
            frame = pb.RunFrame(number=item.number, ciphertext=item.ciphertext, final=item.final)
            if item.final:
                last.append(frame)
            else:
                answers.put_nowait(pb.RunResponse(call=call, frames=[frame]))

    async def Forget(self, request: pb.ForgetRequest, context: Context) -> pb.ForgetResponse:
        """Drop the keys of one agreement."""
        await self._runs.forget(request.agreement)
        return pb.ForgetResponse()


def _forget(running: dict[int, asyncio.Task[None]], call: int, _: asyncio.Task[None]) -> None:
    running.pop(call, None)


def keys_to_wire(keys: WorkerKeys) -> pb.EnrolResponse:
    """Return the message of a worker's public side."""
    return pb.EnrolResponse(
        boot=keys.boot,
        hpke_public=keys.hpke_public,
        worker_public=keys.worker_public,
        backend=keys.backend,
        image=keys.image,
        variants=[
            pb.ServedVariant(
                id=variant.id,
                manifest=variant.manifest,
                template_digest=variant.template,
                operations=variant.operations,
                max_top_logprobs=variant.max_top_logprobs,
                tools=variant.tools,
            )
            for variant in keys.variants
        ],
        report_format=keys.report_format or "",
        report=keys.report or b"",
    )


def job_from_wire(request: pb.RunJob) -> Job:
    """Read a job."""
    return Job(
        agreement=request.agreement,
        session=request.session,
        seq=request.seq,
        variant=request.variant,
        operation=request.operation,
        tools=request.tools,
        evidence=request.evidence,
        sealed=request.sealed,
        plaintext_commit=request.plaintext_commit,
        sampling=request.sampling,
        seed=request.seed,
        max_input_tokens=request.max_input_tokens,
        deadline_seconds=request.deadline_seconds,
    )


def outcome_to_wire(outcome: JobOutcome) -> pb.Outcome:
    """Return the message of an outcome."""
    usage, safety = outcome.usage, outcome.safety
    return pb.Outcome(
        status=outcome.status,
        code=outcome.code or "",
        response=b"" if outcome.response is None else canonical_bytes(outcome.response.json_value()),
        finish_reason=outcome.finish_reason or "",
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        decode_config=outcome.decode_config or "",
        manifest=outcome.manifest,
        router_used=outcome.router.used,
        router_served=outcome.router.served or "",
        safety_input=safety.input,
        safety_output=safety.output,
        fingerprint=outcome.fingerprint or "",
        hook=b"" if outcome.hook is None else canonical_bytes(outcome.hook.json_value()),
    )
