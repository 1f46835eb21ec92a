"""The host's end of a box's channel: calls, their answers, and the box's connections to the model.

Everything that arrives was possibly written by hostile code. The first frame that breaks a rule ends the channel,
and what a box can make the host hold is bounded: a window for each of a bounded number of streams.
"""

from __future__ import annotations

import asyncio
import json
import marshal
from collections.abc import Mapping
from typing import Any, Protocol

from attestations.errors import SandboxLost
from lab_server.sandbox.inside.framing import (
    GRANT_STEP,
    MAX_PAYLOAD,
    WINDOW,
    BadFrame,
    Kind,
    Splitter,
    frame,
    grant,
    granted,
)
from lab_server.sandbox.port import StreamHandler
from lab_server.sandbox.streams import ModelStream, Window

MARSHAL = 4  # the version every Python since 3.4 reads; requests only, what comes back is hostile until parsed


class Link(Protocol):
    """The bytes to and from a supervisor, whatever carries them."""

    async def receive(self) -> bytes:
        """Return what has arrived, empty at the end."""
        ...

    def post(self, data: bytes) -> None:
        """Put `data` behind what waits to be sent, without waiting; harmless when the other end is gone."""
        ...

    async def drain(self) -> None:
        """Wait until little is waiting to be sent; ConnectionError when the other end is gone."""
        ...

    async def close(self) -> None:
        """End both directions."""
        ...


class Call:
    """One call under way: output as it comes, and the answer."""

    def __init__(self, number: int, output_limit: int) -> None:
        self.number = number
        self.output: dict[int, bytearray] = {Kind.DATA: bytearray(), Kind.ERRORS: bytearray()}
        self.reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.window = Window(WINDOW)
        self._room = output_limit
        self._owed = 0

    def take(self, kind: int, data: bytes) -> int:
        """Keep output and return how much to grant; more than was asked for breaks the protocol."""
        self._room -= len(data)
        self._owed += len(data)
        if self._room < 0 or self._owed > WINDOW:
            raise BadFrame("more output than was allowed")
        self.output[kind] += data
        # Not for each frame: a box that does not read must not make us pile up grants.
        due = self._owed if self._owed >= GRANT_STEP else 0
        self._owed -= due
        return due


class Channel:
    """Frames over one link, until it ends or the box breaks a rule."""

    def __init__(self, link: Link, model: StreamHandler | None, max_streams: int) -> None:
        self._link = link
        self._model = model
        self._max_streams = max_streams
        self._calls: dict[int, Call] = {}
        self._streams: dict[int, ModelStream] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._next_call = 0
        self._lost: SandboxLost | None = None
        self.opened = 0  # connections to the model so far
        self.received = 0  # bytes so far
        self.ended = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @property
    def serves_model(self) -> bool:
        """Whether programs in the box may connect to a model."""
        return self._model is not None

    async def start(self, request: Mapping[str, Any], *, output_limit: int = 0, data: bytes | None = None) -> Call:
        """Have the supervisor begin something; `data` and its end follow the request.

        Raises:
            SandboxLost: the box is gone.
        """
        stream, self._next_call = self._next_call, self._next_call + 2
        call = Call(stream, output_limit)
        if self._lost is not None:
            raise self._lost
        self._calls[stream] = call
        call.reply.add_done_callback(lambda _: self._calls.pop(stream, None))
        await self.send(frame(Kind.CALL, stream, marshal.dumps(dict(request), MARSHAL)))
        if data is not None:
            feeding = asyncio.create_task(self._feed(call, data))
            self._handlers.add(feeding)
            feeding.add_done_callback(self._handlers.discard)
            call.reply.add_done_callback(lambda _: feeding.cancel())
        return call

    async def call(
        self, request: Mapping[str, Any], *, output_limit: int = 0, data: bytes | None = None
    ) -> tuple[dict[str, Any], bytes]:
        """Have the supervisor do something; returns its answer and what it sent. A cancelled call is stopped.

        Raises:
            SandboxLost: the box is gone, or broke the protocol.
        """
        call = await self.start(request, output_limit=output_limit, data=data)
        try:
            reply = await asyncio.shield(call.reply)
        except asyncio.CancelledError:
            self.stop(call)
            raise
        return reply, bytes(call.output[Kind.DATA])

    def stop(self, call: Call) -> None:
        """End a call in the box; its reply still comes."""
        if self._lost is None and not call.reply.done():
            self._link.post(frame(Kind.STOP, call.number))

    async def send(self, data: bytes) -> None:
        """Send one frame.

        Raises:
            SandboxLost: the box is gone.
        """
        if self._lost is not None:
            raise self._lost
        try:
            self._link.post(data)
            await self._link.drain()
        except (ConnectionError, OSError):
            self._lose("gone")
            raise self._gone() from None

    async def close(self) -> None:
        """End the link and every handler; returns when no task is left."""
        self._lose("closed")
        self._reader.cancel()
        await asyncio.gather(self._reader, *self._handlers, return_exceptions=True)
        await self._link.close()

    def break_off(self, rule: str) -> None:
        """Treat the box as lost, for a reason the host has found."""
        self._lose(rule)

    def _gone(self) -> SandboxLost:
        return self._lost or SandboxLost("the sandbox is gone", rule="gone")

    async def _feed(self, call: Call, data: bytes) -> None:
        try:
            for start in range(0, len(data), MAX_PAYLOAD):
                piece = data[start : start + MAX_PAYLOAD]
                while piece:
                    size = await call.window.take(len(piece))
                    await self.send(frame(Kind.DATA, call.number, piece[:size]))
                    piece = piece[size:]
            await self.send(frame(Kind.END, call.number))
        except SandboxLost:
            pass  # the call's reply says so

    async def _read(self) -> None:
        splitter = Splitter()
        rule = "gone"
        try:
            while data := await self._link.receive():
                self.received += len(data)
                for kind, stream, payload in splitter.feed(data):
                    self._take(kind, stream, payload)
        except BadFrame:
            rule = "frames"
        except (OSError, SandboxLost):
            pass
        self._lose(rule)

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if stream % 2:
            self._take_model(kind, stream, payload)
            return
        call = self._calls.get(stream)
        if call is None:
            raise BadFrame("a stream that nobody opened")
        if kind in (Kind.DATA, Kind.ERRORS):
            if due := call.take(kind, payload):
                self._link.post(grant(stream, due))  # waiting here could wait for a box that waits for us
        elif kind == Kind.GRANT:
            call.window.give(granted(payload))
        elif kind == Kind.REPLY and not call.reply.done():
            call.reply.set_result(_parse(payload))
        else:
            raise BadFrame("a frame out of its place")

    def _take_model(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == Kind.OPEN:
            self._open(stream)
            return
        found = self._streams.get(stream)
        if found is None:
            if stream >= self.opened * 2 + 1:
                raise BadFrame("a stream that nobody opened")
            return  # we have closed it, and the box did not know yet
        if kind == Kind.DATA:
            found.arrived(payload)
        elif kind == Kind.END:
            found.arrived_end()
        elif kind == Kind.STOP:
            found.broken()
            del self._streams[stream]
        elif kind == Kind.GRANT:
            found.window.give(granted(payload))
        else:
            raise BadFrame("a frame out of its place")

    def _open(self, stream: int) -> None:
        if self._model is None or stream != self.opened * 2 + 1 or len(self._streams) >= self._max_streams:
            raise BadFrame("a connection that may not be")
        self.opened += 1
        self._streams[stream] = opened = ModelStream(stream, self)
        task = asyncio.create_task(self._handle(self._model, opened))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, model: StreamHandler, stream: ModelStream) -> None:
        try:
            await model(stream)
        except Exception:  # noqa: BLE001, S110 - a handler's failure ends its connection; its words may hold content
            pass
        finally:
            if not self.ended.is_set():
                await stream.close()

    def forget(self, stream: int) -> None:
        """Drop a connection that our side has ended."""
        self._streams.pop(stream, None)

    def _lose(self, rule: str) -> None:
        if self._lost is not None:
            return
        self._lost = SandboxLost(_WORDS.get(rule, "the sandbox was ended"), rule=rule)
        self.ended.set()
        for call in self._calls.values():
            if not call.reply.done():
                call.reply.set_exception(self._lost)
                call.reply.exception()  # a cancelled call never asks
        for stream in list(self._streams.values()):
            stream.lost(self._lost)
        self._streams.clear()
        for task in self._handlers:
            task.cancel()


_WORDS = {
    "gone": "the sandbox died",
    "frames": "the sandbox broke its protocol",
    "closed": "the sandbox is closed",
}


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadFrame("an answer that is not JSON") from None
    if not isinstance(value, dict):
        raise BadFrame("an answer that is no object")
    return value
