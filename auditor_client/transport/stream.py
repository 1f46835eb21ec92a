"""One `Exchange` call over gRPC: what is sent and received of it, and why it ended."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc

from attestations.envelope import Envelope
from attestations.errors import LabUnreachable, MalformedEnvelope
from auditor_client.ports import Answer, Promised, Recorded, Refused
from auditor_client.transport.errors import error_from_call
from auditor_client.transport.wire import frame_of, opened, wire
from safeconduct.v1 import access_service_pb2 as access


class GrpcStream:
    """One `Exchange` call."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._ready: deque[Answer] = deque()  # read from the stream and not yet handed on

    async def intend(self, intent: Envelope) -> None:
        """Send an Intent."""
        await self._write(access.ExchangeRequest(intent=wire(intent)))

    async def reveal(self, sealed: bytes, seed_share: bytes) -> None:
        """Open the last Intent's commitments."""
        await self._write(access.ExchangeRequest(reveal=access.Reveal(sealed=sealed, seed_share=seed_share)))

    async def cancel(self, cancel: Envelope) -> None:
        """Withdraw a promised request."""
        await self._write(access.ExchangeRequest(cancel=wire(cancel)))

    async def receive(self) -> Answer:
        """Return the lab's next answer."""
        if self._ready:
            return self._ready.popleft()
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, call="Exchange") from None
        if message is grpc.aio.EOF:
            raise await self._ended()
        kind = message.WhichOneof("message")
        if kind == "frame":
            return frame_of(message.frame)
        if kind == "promise":
            return Promised(opened(message, "promise"))
        if kind == "record":
            self._ready.extend(frame_of(frame) for frame in message.last_frames)
            self._ready.append(Recorded(opened(message, "record")))
            return self._ready.popleft()
        if kind == "refusal":
            return Refused(opened(message, "refusal"))
        raise MalformedEnvelope("the lab sent an empty message", call="Exchange")

    async def _write(self, message: access.ExchangeRequest) -> None:
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as error:
            raise error_from_call(error, call="Exchange") from None
        except (grpc.aio.UsageError, asyncio.InvalidStateError):
            # The call ended before this write, perhaps long ago in a lane that had nothing to ask; its status says why.
            raise await self._ended() from None

    async def _ended(self) -> Exception:
        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return LabUnreachable("the lab ended the stream", call="Exchange")
        trailing, details = await self._call.trailing_metadata(), await self._call.details()
        return error_from_call(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details), call="Exchange")
