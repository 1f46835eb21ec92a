"""The far end of a channel for tests: says what it is told to, and keeps what it hears."""

from __future__ import annotations

import asyncio
import json
import marshal
from collections.abc import Callable
from typing import Any

from lab_server.sandbox.inside.framing import Kind, Splitter, frame

Answer = Callable[[int, dict[str, Any]], bytes]


class ScriptedBox:
    """A `Link`: each call is answered by `answer`; `say` sends any bytes at all."""

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer
        self._to_host: asyncio.Queue[bytes] = asyncio.Queue()
        self._splitter = Splitter()
        self.heard: list[tuple[int, int, bytes]] = []
        self.closed = False

    def say(self, data: bytes) -> None:
        self._to_host.put_nowait(data)

    async def receive(self) -> bytes:
        return await self._to_host.get()

    def post(self, data: bytes) -> None:
        for kind, stream, payload in self._splitter.feed(data):
            self.heard.append((kind, stream, payload))
            if kind == Kind.CALL and self._answer is not None:
                self.say(self._answer(stream, marshal.loads(payload)))  # noqa: S302 - the host's own

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


def reply(stream: int, value: Any) -> bytes:
    """Return the frame that ends a call."""
    return frame(Kind.REPLY, stream, json.dumps(value).encode())
