"""Connections of a box to the model as the host sees them, with a window in each direction."""

from __future__ import annotations

import asyncio
from typing import Protocol

from attestations.errors import SandboxLost
from lab_server.sandbox.inside.framing import GRANT_STEP, MAX_PAYLOAD, MAX_WINDOW, WINDOW, BadFrame, Kind, frame, grant


class Window:
    """How many bytes the box still takes on one stream."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._grown = asyncio.Event()

    def give(self, size: int) -> None:
        """Add what the box has granted."""
        self._size += size
        if self._size > MAX_WINDOW:
            raise BadFrame("a window without end")
        self._grown.set()

    async def take(self, wanted: int) -> int:
        """Wait for room and return how many of `wanted` bytes may be sent."""
        while self._size == 0:
            self._grown.clear()
            await self._grown.wait()
        size = min(wanted, self._size)
        self._size -= size
        return size

    def wake(self) -> None:
        """Let a waiting sender look again, because its stream has ended."""
        self._size += 1
        self._grown.set()


class Sender(Protocol):
    """What a stream needs of its channel."""

    async def send(self, data: bytes) -> None:
        """Send one frame."""

    def forget(self, stream: int) -> None:
        """Drop a stream our side has ended."""


class ModelStream:
    """A `ByteStream`; the host holds at most one window of what its program has sent."""

    def __init__(self, number: int, channel: Sender) -> None:
        self.window = Window(WINDOW)
        self._number = number
        self._channel = channel
        self._held = bytearray()
        self._room = WINDOW
        self._owed = 0  # read and not yet granted again
        self._arrival = asyncio.Event()
        self._over = False  # the program sends nothing more
        self._broken: Exception | None = None
        self._closed = False

    async def read(self, limit: int) -> bytes:
        """Return the next bytes, empty at the end."""
        while not self._held:
            if isinstance(self._broken, SandboxLost):
                raise self._broken
            if self._over or self._closed:
                return b""
            self._arrival.clear()
            await self._arrival.wait()
        data = bytes(self._held[:limit])
        del self._held[: len(data)]
        self._owed += len(data)
        if self._owed >= GRANT_STEP and not self._over and not self._closed:
            due, self._owed = self._owed, 0
            self._room += due
            await self._channel.send(grant(self._number, due))
        return data

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the program does not read."""
        view = memoryview(data)
        while view:
            size = await self.window.take(min(len(view), MAX_PAYLOAD))
            if self._broken is not None:
                raise self._broken
            if self._closed:
                raise ConnectionResetError("the connection is closed")
            await self._channel.send(frame(Kind.DATA, self._number, bytes(view[:size])))
            view = view[size:]

    async def close(self) -> None:
        """End the connection; what was written is still delivered."""
        if self._closed:
            return
        self._closed = True
        self._arrival.set()
        self._channel.forget(self._number)
        if self._broken is None:
            await self._channel.send(frame(Kind.END, self._number))

    def arrived(self, data: bytes) -> None:
        """Keep what the program sent; more than the window breaks the protocol."""
        self._room -= len(data)
        if self._room < 0 or self._over:
            raise BadFrame("more than the window allows")
        self._held += data
        self._arrival.set()

    def arrived_end(self) -> None:
        """Note that the program sends nothing more."""
        self._over = True
        self._arrival.set()

    def broken(self) -> None:
        """Note that the program broke the connection off."""
        self._broken = ConnectionResetError("the program closed the connection")
        self._over = True
        self._arrival.set()
        self.window.wake()

    def lost(self, error: SandboxLost) -> None:
        """Note that the box is gone."""
        self._broken = error
        self._arrival.set()
        self.window.wake()
