"""Many calls over the one stream to a worker: a stream for each would cost more than the rest of an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc

from attestations.errors import WorkerUnavailable
from safeconduct.v1 import worker_service_pb2 as pb

Waiting = asyncio.Queue[pb.RunResponse | None]  # None: the stream is gone


class WorkerCalls:
    """The stream to one boot of a worker, opened with the first call; once it breaks, every call fails."""

    def __init__(self, open_stream: Callable[[], Any]) -> None:
        self._open_stream = open_stream
        self._stream: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._outgoing: asyncio.Queue[pb.RunRequest] = asyncio.Queue()
        self._waiting: dict[int, Waiting] = {}
        self._next = 0
        self._gone = False

    @asynccontextmanager
    async def call(self, job: pb.RunJob) -> AsyncIterator[AsyncIterator[pb.RunResponse]]:
        """Run one job; leaving before its outcome cancels it.

        Raises:
            WorkerUnavailable: the worker went away; what it did is not known.
        """
        if self._gone:
            raise WorkerUnavailable("the worker went away")
        if self._stream is None:
            self._stream = self._open_stream()
            self._tasks = [asyncio.create_task(self._until_broken(step())) for step in (self._write, self._read)]
        call, self._next = self._next, self._next + 1
        waiting: Waiting = asyncio.Queue()
        self._waiting[call] = waiting
        try:
            self._outgoing.put_nowait(pb.RunRequest(call=call, job=job))
            yield self._messages(call, waiting)
        finally:
            if self._waiting.pop(call, None) is not None:
                self._outgoing.put_nowait(pb.RunRequest(call=call, cancel=pb.RunCancel()))

    async def close(self) -> None:
        """End the stream; every call that waits learns that the worker is gone."""
        self._break()
        if self._stream is not None:
            self._stream.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _messages(self, call: int, waiting: Waiting) -> AsyncIterator[pb.RunResponse]:
        while True:
            message = await waiting.get()
            if message is None:
                raise WorkerUnavailable("the worker went away")
            if message.HasField("outcome"):
                self._waiting.pop(call, None)
            yield message

    # A task of its own writes: a caller that is cancelled while it writes would take the whole stream with it.
    async def _write(self) -> None:
        while True:
            await self._stream.write(await self._outgoing.get())

    async def _read(self) -> None:
        async for message in self._stream:
            waiting = self._waiting.get(message.call)
            if waiting is not None:
                waiting.put_nowait(message)

    async def _until_broken(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await step
        finally:
            self._break()

    def _break(self) -> None:
        self._gone = True
        for waiting in self._waiting.values():
            waiting.put_nowait(None)
