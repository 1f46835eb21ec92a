"""Serves one connection of a program in a sandbox: HTTP/1.1 over a byte stream, bounded in every direction.

The bytes come from hostile code. The stream itself is the identity: no header is read for who is asking.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import h11

from attestations.documents.sandboxing import CallAnswer, CallFailure
from attestations.errors import SandboxLost
from lab_server.sandbox.port import ByteStream
from lab_server.scaffold_api.answering import chunks, completion, model, models, problem
from lab_server.scaffold_api.asking import Unacceptable, Wanted, read_wanted
from lab_server.scaffold_api.pace import Pace

MAX_HEAD_BYTES = 16 * 1024
_BLOCK = 16 * 1024  # what is read at once is also parsed at once

Reply: TypeAlias = CallAnswer | CallFailure
Ask = Callable[[Wanted], Coroutine[Any, Any, Reply]]


@dataclass(frozen=True)
class Served:
    """What a sandbox's programs find: the variant's name, how to ask it, and how much one request may be.

    `idle_seconds` bounds the wait for a request and for each part of one; `clock` gives seconds since 1970.
    """

    variant: str
    ask: Ask
    body_bytes: int
    idle_seconds: float
    clock: Callable[[], float]
    pace: Pace = field(default_factory=Pace)


async def serve(stream: ByteStream, served: Served) -> None:
    """Answer requests until the program or a broken rule ends the connection."""
    connection = _Connection(stream, served)
    try:
        with suppress(h11.RemoteProtocolError, ConnectionError, SandboxLost, TimeoutError, _Ended):
            await connection.run()
    finally:
        connection.stop()


class _Ended(Exception):
    """The program has ended the connection."""


class _Connection:
    def __init__(self, stream: ByteStream, served: Served) -> None:
        self._stream = stream
        self._served = served
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._reading: asyncio.Task[bytes] | None = None

    def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        while True:
            try:
                await self._answer(*await self._request())
            except h11.RemoteProtocolError as error:
                if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._json(error.error_status_hint, problem(400, "bad_request"), last=True)
                return
            except _TooLarge:
                await self._json(413, problem(413, "request_too_large", "body"), last=True)
                return
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> tuple[h11.Request, bytes]:
        request, body = None, bytearray()
        while True:
            async with self._served.pace:
                event = self._take(body)
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                async with asyncio.timeout(self._served.idle_seconds):
                    self._http.receive_data(await self._read())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                return request, bytes(body)
            else:
                raise _Ended

    def _take(self, body: bytearray) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        """Take what has arrived of a body and return the first event that is none of it."""
        while isinstance(event := self._http.next_event(), h11.Data):
            body += event.data
            if len(body) > self._served.body_bytes:
                raise _TooLarge
        return event

    async def _answer(self, request: h11.Request, body: bytes) -> None:
        method, path = request.method, request.target.partition(b"?")[0].rstrip(b"/")
        variant = self._served.variant
        if (method, path) == (b"POST", b"/v1/chat/completions"):
            await self._chat(body)
        elif (method, path) == (b"GET", b"/v1/models"):
            await self._json(200, models(variant))
        elif (method, path) == (b"GET", b"/v1/models/" + variant.encode()):
            await self._json(200, model(variant))
        else:
            await self._json(404, problem(404, "not_found"))

    async def _chat(self, body: bytes) -> None:
        try:
            async with self._served.pace:
                wanted = read_wanted(body, variant=self._served.variant)
        except Unacceptable as error:
            await self._json(error.status, problem(error.status, error.code, error.param))
            return
        answer = await self._while_connected(self._served.ask(wanted))
        created = int(self._served.clock())
        if isinstance(answer, CallFailure):
            await self._json(answer.status, problem(answer.status, answer.code))
        elif wanted.stream:
            await self._events(chunks(answer, wanted, variant=self._served.variant, created=created))
        else:
            await self._json(200, completion(answer, wanted, variant=self._served.variant, created=created))

    async def _while_connected(self, asking: Coroutine[Any, Any, Reply]) -> Reply:
        """Wait for the reply; a program that hangs up in the meantime takes its call back."""
        asked = asyncio.create_task(asking)
        try:
            await asyncio.wait({asked, self._next_read()}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                data = await self._read()
                if not data:
                    raise _Ended
                self._http.receive_data(data)  # the next request, early
            return await asked
        finally:
            asked.cancel()

    # A read that is cancelled could lose what it has taken: one is under way at a time, and is waited for later.
    def _next_read(self) -> asyncio.Task[bytes]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_block())
        return self._reading

    async def _read(self) -> bytes:
        data = await asyncio.shield(self._next_read())
        self._reading = None
        return data

    async def _read_block(self) -> bytes:
        return await self._stream.read(_BLOCK)

    async def _json(self, status: int, value: dict[str, Any], *, last: bool = False) -> None:
        body = json.dumps(value, separators=(",", ":")).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        if status >= 400:  # noqa: PLR2004 - every error: asking again changes nothing, and costs budget
            headers.append(("x-should-retry", "false"))
        if last:
            headers.append(("connection", "close"))
        await self._send(h11.Response(status_code=status, headers=headers))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())

    async def _events(self, events: Iterator[bytes]) -> None:
        headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")]
        await self._send(h11.Response(status_code=200, headers=headers))
        for event in events:
            await self._send(h11.Data(data=event))
        await self._send(h11.EndOfMessage())

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.write(data)


class _TooLarge(Exception):
    """A body over the limit."""
