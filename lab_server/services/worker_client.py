"""The gateway's side of the worker's unix socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import get_args

import grpc

from attestations.canonical import parse_canonical
from attestations.digests import sha256
from attestations.documents.base import validated
from attestations.documents.exchange import Response, Router, SafetyLayer, Status, Usage
from attestations.documents.hooks import parse_statement
from attestations.errors import SafeconductError, WorkerUnavailable
from lab_server.ports import Job, JobOutcome, ServedVariant, StoredFrame, WorkerKeys
from lab_server.services.worker_calls import WorkerCalls
from safeconduct.v1 import worker_service_pb2 as pb, worker_service_pb2_grpc as grpc_pb

MAX_MESSAGE_BYTES = 8 << 20
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")


class WorkerClient:
    """One connection to one boot of the worker."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            f"unix:{socket}",
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.default_authority", "worker"),
            ],
        )
        self._stub = grpc_pb.WorkerServiceStub(self._channel)
        self._calls = WorkerCalls(self._stub.Run)

    async def close(self) -> None:
        """Close the connection."""
        await self._calls.close()
        await self._channel.close()

    async def ready(self, seconds: float) -> None:
        """Wait until the worker answers."""
        try:
            await asyncio.wait_for(self._channel.channel_ready(), seconds)
        except TimeoutError:
            raise WorkerUnavailable("the worker's socket does not answer") from None

    async def enrol(self, agreement: str) -> WorkerKeys:
        """Return the keys of one agreement."""
        with _worker_may_go():
            return keys_from_wire(await self._stub.Enrol(pb.EnrolRequest(agreement=agreement), timeout=30))

    async def run(self, job: Job) -> AsyncIterator[StoredFrame | JobOutcome]:
        """Give the frames and the outcome of one job."""
        async with self._calls.call(job_to_wire(job)) as messages:
            async for message in messages:
                for frame in message.frames:
                    yield StoredFrame(frame.number, frame.ciphertext, frame.final)
                if message.HasField("outcome"):
                    yield outcome_from_wire(message.outcome)
                    return

    async def forget(self, agreement: str) -> None:
        """Have the keys of one agreement dropped."""
        with _worker_may_go():
            await self._stub.Forget(pb.ForgetRequest(agreement=agreement), timeout=10)


@contextmanager
def _worker_may_go() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise WorkerUnavailable("the worker went away", code=error.code().name) from None
    except asyncio.CancelledError:
        # Closing the channel of a dead worker cancels its calls; only a cancelled task of ours is really cancelled.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise WorkerUnavailable("the worker went away", code="CLOSED") from None


def job_to_wire(job: Job) -> pb.RunJob:
    """Return the message of a job."""
    return pb.RunJob(
        agreement=job.agreement,
        session=job.session,
        seq=job.seq,
        variant=job.variant,
        operation=job.operation,
        tools=job.tools,
        evidence=job.evidence,
        sealed=job.sealed,
        plaintext_commit=job.plaintext_commit,
        sampling=job.sampling,
        seed=job.seed,
        max_input_tokens=job.max_input_tokens,
        deadline_seconds=job.deadline_seconds,
    )


def keys_from_wire(message: pb.EnrolResponse) -> WorkerKeys:
    """Read a worker's public side."""
    return WorkerKeys(
        boot=message.boot,
        hpke_public=message.hpke_public,
        worker_public=message.worker_public,
        backend=message.backend,
        image=message.image,
        variants=tuple(
            ServedVariant(
                id=variant.id,
                manifest=variant.manifest,
                template=variant.template_digest,
                operations=tuple(variant.operations),
                max_top_logprobs=variant.max_top_logprobs,
                tools=variant.tools,
            )
            for variant in message.variants
        ),
        report_format=message.report_format or None,
        report=message.report or None,
    )


def outcome_from_wire(message: pb.Outcome) -> JobOutcome:
    """Read an outcome.

    Raises:
        WorkerUnavailable: it is not one; what the worker did is then not known.
    """
    try:
        return _outcome(message)
    except (SafeconductError, ValueError):
        raise WorkerUnavailable("the worker's outcome makes no sense") from None


def _name(text: str) -> str | None:
    # Backends choose these names freely; signed documents hold plain ones.
    return text if _NAME.match(text) else f"sha256:{sha256(text.encode())}" if text else None


def _finish(text: str) -> str:
    if text not in ("stop", "length", "tool_calls", "filtered"):
        raise ValueError("finish_reason")
    return text


def _outcome(message: pb.Outcome) -> JobOutcome:
    if message.status not in get_args(Status) or (message.status == "COMPLETED") != bool(message.response):
        raise ValueError("status")
    return JobOutcome(
        status=message.status,
        code=_name(message.code),
        response=validated(Response, parse_canonical(message.response)) if message.response else None,
        finish_reason=_finish(message.finish_reason) if message.response else None,
        usage=Usage(
            input_tokens=message.input_tokens,
            cached_tokens=message.cached_tokens,
            output_tokens=message.output_tokens,
            reasoning_tokens=message.reasoning_tokens,
        ),
        decode_config=message.decode_config or None,
        manifest=message.manifest,
        router=Router(used=message.router_used, served=_name(message.router_served)),
        safety=SafetyLayer.model_validate({"input": message.safety_input, "output": message.safety_output}),
        fingerprint=_name(message.fingerprint),
        hook=parse_statement(message.hook) if message.hook else None,
    )
