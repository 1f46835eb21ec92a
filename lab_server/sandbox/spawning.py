"""Starts a sandbox's outermost process with nothing of ours but three pipes, and ends it again.

The process is started by one thread that lives as long as ours does: the kernel kills a child that asked to die
with its parent (PDEATHSIG) when the *thread* that started it ends.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STDERR_BYTES = 16 << 10
# Waits for a line before it becomes the sandbox, so that limits and groups can be put on it first.
_GATE = ("/bin/sh", "-c", 'read -r go && exec "$@"', "sh")


@dataclass(frozen=True)
class Identity:
    """The user to become; None of a launcher that is not root stays what it is."""

    uid: int
    gid: int


class _Spawner(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="sandbox-spawner", daemon=True)
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                done.set_result(job())
            except BaseException as error:  # noqa: BLE001 - whoever asked must hear of it
                done.set_exception(error)

    def ask(self, job: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        self._jobs.put((job, done))
        return done


_spawner: _Spawner | None = None
_lock = threading.Lock()


def _the_spawner() -> _Spawner:
    global _spawner  # noqa: PLW0603 - one thread a process, made when first needed
    with _lock:
        if _spawner is None or not _spawner.is_alive():  # a fork of ours has no threads
            _spawner = _Spawner()
        return _spawner


class Process:
    """A process behind the gate: nothing runs until `open_gate`. Its pipes are a channel's link."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        reading: asyncio.BaseTransport,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._popen = popen
        self._reading = reading
        self._reader = reader
        self._writer = writer
        self._errors = bytearray()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        self._stderr = asyncio.create_task(self._collect())

    @property
    def pid(self) -> int:
        """The outermost process on the host."""
        return self._popen.pid

    @property
    def children(self) -> list[int]:
        """The processes that the outermost one has started, as the host numbers them."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return []

    def open_gate(self) -> None:
        """Let the process become the sandbox."""
        self._writer.write(b"go\n")

    async def receive(self) -> bytes:
        """Return what the process has written, empty at the end."""
        return await self._reader.read(256 << 10)

    def post(self, data: bytes) -> None:
        """Put `data` behind what waits to be sent."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until little is waiting to be sent."""
        await self._writer.drain()

    async def close(self) -> None:
        """Close the pipes."""
        self._writer.close()

    async def end(self, grace: float) -> None:
        """See that the process ends, by force after `grace` seconds; returns when it and its children are gone."""
        inner = self.children
        if not await self._gone(grace):
            for pid in inner or self.children:  # from the inside out, so that each is reaped by the one around it
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not await self._gone(grace + 1):
                self._popen.kill()
                await self._gone(10)
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        self._reading.close()
        self._stderr.cancel()
        with suppress(asyncio.CancelledError):
            await self._stderr

    async def errors(self) -> str:
        """Return what was said on stderr; only the sandbox tool itself writes there, never a foreign program."""
        with suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(self._stderr), 1)
        return self._errors.decode(errors="replace").strip()

    async def _gone(self, seconds: float) -> bool:
        done, _ = await asyncio.wait({self._ended}, timeout=seconds)
        return bool(done)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(self._popen.wait())

    async def _collect(self) -> None:
        pipe = self._popen.stderr
        if pipe is None:
            return
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while data := await reader.read(4096):
                self._errors += data[: _STDERR_BYTES - len(self._errors)]
        finally:
            transport.close()


async def spawn(command: Sequence[str], identity: Identity | None, pass_fds: Sequence[int] = ()) -> Process:
    """Start `command` behind its gate with an empty environment, as `identity` where that is given.

    Raises:
        OSError: it cannot be started.
    """

    def start() -> subprocess.Popen[bytes]:
        become: dict[str, Any] = {}
        if identity is not None:
            become = {"user": identity.uid, "group": identity.gid, "extra_groups": []}
        return subprocess.Popen(  # noqa: S603 - our own command, no shell reads a foreign word
            [*_GATE, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={},
            close_fds=True,
            pass_fds=pass_fds,
            start_new_session=True,
            umask=0o077,
            **become,
        )

    loop = asyncio.get_running_loop()
    popen = await asyncio.wrap_future(_the_spawner().ask(start))
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), popen.stdout)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, popen.stdin)
    return Process(popen, reader, reading, asyncio.StreamWriter(transport, protocol, reader, loop))
