"""A network between auditor and lab that a test breaks: connections that stall, are cut, half closed or refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


class BadNetwork:
    """A TCP proxy on loopback; everything that goes through it can be stopped."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.refusing = False
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a connection to the target."""
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        self._begin(self._pump(reader, back))
        self._begin(self._pump(there, writer))

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def half_close(self) -> None:
        """End one direction of every connection and leave the other open."""
        for writer in self._writers:
            with suppress(OSError, RuntimeError):
                writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        """Stop everything."""
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):
            while data := await reader.read(65_536):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@asynccontextmanager
async def bad_network(port: int) -> AsyncIterator[BadNetwork]:
    """Listen at `port` for a while."""
    network = BadNetwork(port)
    server = await asyncio.start_server(network.accept, "127.0.0.1", port)
    try:
        yield network
    finally:
        server.close()
        await network.close()
