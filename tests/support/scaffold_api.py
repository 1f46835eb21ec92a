"""The scaffolds' server on a socket of this process, for real clients and raw bytes without a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attestations.documents.dialogue import ChatResult, ToolCall
from attestations.documents.sandboxing import CallAnswer, CallFailure
from lab_server.scaffold_api.asking import Wanted
from lab_server.scaffold_api.connection import Reply, Served, serve

VARIANT = "rehearsed"


class SocketStream:
    """A `ByteStream` over a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, limit: int) -> bytes:
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


class Auditor:
    """Answers calls: `slow` ones never, `quota` ones with a failure, those with tools with a tool call."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.taken_back = 0

    async def ask(self, wanted: Wanted) -> Reply:
        self.wanted.append(wanted)
        call, text = len(self.wanted) - 1, wanted.request.messages[-1].content
        if text == "slow":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.taken_back += 1
                raise
        if text == "quota":
            return CallFailure(call=call, status=429, code="insufficient_quota")
        tools = (ToolCall(id="c-0", name="bash", arguments='{"cmd":"ls"}'),) if wanted.request.tools else ()
        return CallAnswer(
            call=call,
            result=ChatResult(content=f"answer to {text}", tool_calls=tools),
            finish_reason="tool_calls" if tools else "stop",
            prompt_tokens=3,
            completion_tokens=4,
        )


@asynccontextmanager
async def serving(auditor: Auditor, *, body_bytes: int = 65_536, idle_seconds: float = 5.0) -> AsyncIterator[int]:
    """Serve on a free port of loopback and give its number."""
    served = Served(VARIANT, auditor.ask, body_bytes, idle_seconds, lambda: 1_790_000_000.0)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = SocketStream(reader, writer)
        try:
            await serve(stream, served)
        finally:
            await stream.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
