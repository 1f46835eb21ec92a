"""The baseline: a raw grpc.aio bidirectional echo over mutual TLS of as many messages of the same sizes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import grpc

from lab_server.home import new_certificate

# Of one exchange with a short answer: intent and reveal up; promise, then frame and record together, down.
UP_BYTES = (1900, 2900)
DOWN_BYTES = (1400, 3160)


class Echoed(NamedTuple):
    """One run; CPU is of both sides together, in seconds for each exchange."""

    exchanges: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Exchanges a second."""
        return self.exchanges / self.wall


def run(exchanges: int, lanes: int) -> Echoed:
    """Echo the messages of `exchanges` exchanges over `lanes` streams to a server in another process."""
    key, certificate = new_certificate("echo.example", now=datetime.now(UTC))
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=_serve, args=(theirs, key, certificate))
    server.start()
    try:
        port = ours.recv()
        started, cpu = time.perf_counter(), time.process_time()
        asyncio.run(_ask(port, key, certificate, exchanges, lanes))
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        ours.send(None)
        return Echoed(exchanges, wall, (cpu + ours.recv()) / exchanges)
    finally:
        server.join(10)


def _serve(pipe: Connection, key: bytes, certificate: bytes) -> None:
    asyncio.run(_serve_async(pipe, key, certificate))


async def _serve_async(pipe: Connection, key: bytes, certificate: bytes) -> None:
    async def echo(messages: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        step = 0
        async for _message in messages:
            yield bytes(DOWN_BYTES[step % 2])
            step += 1

    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    credentials = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    before = sum(os.times()[:2])
    pipe.send(port)
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    pipe.send(sum(os.times()[:2]) - before)
    await server.stop(0)


async def _ask(port: int, key: bytes, certificate: bytes, exchanges: int, lanes: int) -> None:
    credentials = grpc.ssl_channel_credentials(certificate, key, certificate)
    options = [("grpc.ssl_target_name_override", "echo.example")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        method: Any = channel.stream_stream("/bench.Echo/Echo")

        async def lane(count: int) -> None:
            stream = method()
            for _ in range(count):
                for size in UP_BYTES:
                    await stream.write(bytes(size))
                    await stream.read()
            await stream.done_writing()

        await asyncio.gather(*(lane(exchanges // lanes) for _ in range(lanes)))
