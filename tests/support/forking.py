"""Runs `safeconduct` commands in processes of their own without importing everything for each.

One process imports the program and forks for each command. What a command does, it does in a process that has run
nothing before, with its own folder, environment, streams, signals and exit code; it ends as any Python process ends.
Tests that look at a process's arguments or memory ask for a `fresh` one, which starts Python anew; those that look at
what is imported start the program themselves.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LONGEST = 1 << 20  # bytes of one request: arguments and environment
_POLL_SECONDS = 0.005
_STATUS = struct.Struct("!i")
# Read when a process starts and not again: a command that sets one of these differently needs a start of its own.
_READ_AT_START = ("PYTHONUTF8", "PYTHONIOENCODING", "LC_ALL", "LANG")


class _Forkserver:
    """The process that forks, started when it is first needed and ended with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).resolve().parents[2],
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait(30)

    def fork(self, asked: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Start a command; `descriptors` are its three streams and where its status goes. Returns its process id."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], list(descriptors))
            return int(_STATUS.unpack(self._socket.recv(_STATUS.size))[0])


_servers: dict[int, _Forkserver] = {}


def _server() -> _Forkserver:
    pid = os.getpid()
    if pid not in _servers:
        _servers[pid] = _Forkserver()
    return _servers[pid]


class Running:
    """A command that was started: what asyncio's and subprocess's processes have, as far as tests use it."""

    def __init__(self, pid: int, status: socket.socket, out: int | None, err: int | None) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None
        self._streams = (out, err)

    @property
    def returncode(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""
        if self._code is None:
            with suppress(BlockingIOError):
                said = self._status.recv(_STATUS.size)
                self._code = _STATUS.unpack(said)[0] if said else -signal.SIGKILL
                self._status.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without warning."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - another process's end
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def communicate(self) -> tuple[bytes, bytes]:
        """Read what it prints to its end."""
        out, err = await asyncio.gather(*(asyncio.to_thread(_read, stream) for stream in self._taken()))
        await self.wait()
        return out, err

    def finish(self, seconds: float) -> tuple[bytes, bytes]:
        """As `communicate`, without an event loop; killed if it takes longer."""
        said: list[bytes] = [b"", b""]

        def keep(place: int, stream: int | None) -> None:
            said[place] = _read(stream)

        readers = [threading.Thread(target=keep, args=each) for each in enumerate(self._taken())]
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + seconds
        while self.returncode is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        late = self.returncode is None
        self.kill()
        for reader in readers:
            reader.join()
        assert not late, f"still running after {seconds} s"
        return said[0], said[1]

    def _taken(self) -> tuple[int | None, int | None]:
        taken, self._streams = self._streams, (None, None)
        return taken

    def __del__(self) -> None:
        for stream in self._streams:
            if stream is not None:
                os.close(stream)
        self._status.close()


def _read(stream: int | None) -> bytes:
    if stream is None:
        return b""
    with os.fdopen(stream, "rb") as opened:
        return opened.read()


def start(
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    out: bool = True,
    err: bool = True,
    fresh: bool = False,
) -> Running:
    """Start `safeconduct` with `words`; what it prints is kept, or goes nowhere where `out` or `err` is False.

    A `fresh` process shares no memory with the one that forks, and its arguments are the command's.
    """
    environment = dict(os.environ if env is None else env)
    assert all(environment.get(name) == os.environ.get(name) for name in _READ_AT_START if name in environment)
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        nowhere = os.open(os.devnull, os.O_RDWR)
        pipes = [os.pipe() if kept else None for kept in (out, err)]
        ends = [nowhere if pipe is None else pipe[1] for pipe in pipes]
        asked = {
            "words": list(words),
            "folder": str(cwd or Path.cwd()),
            "environment": environment,
            "fresh": fresh,
        }
        try:
            pid = _server().fork(asked, [nowhere, *ends, theirs.fileno()])
        finally:
            for end in {nowhere, *ends}:
                os.close(end)
    return Running(pid, ours, *(None if pipe is None else pipe[0] for pipe in pipes))


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    process = start(words, cwd=cwd, env=env)
    out, err = process.finish(seconds)
    assert process.returncode is not None
    return subprocess.CompletedProcess(list(words), process.returncode, out.decode(), err.decode())


@dataclass(frozen=True)
class Commands:
    """Runs commands in one folder, one after the other."""

    folder: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one command and return its code and what it printed."""
        return run(arguments, cwd=self.folder, seconds=120)


def serve(asking: socket.socket) -> int:
    """Fork for every request until nobody asks any more; a child returns its exit code from here as well."""
    waiting = selectors.DefaultSelector()
    waiting.register(asking, selectors.EVENT_READ)
    statuses: dict[int, tuple[int, int]] = {}
    while True:
        for key, _ in waiting.select():
            if key.fileobj is not asking:
                watched = int(key.fd)
                waiting.unregister(watched)
                pid, status = statuses.pop(watched)
                _, code = os.waitpid(pid, 0)
                with suppress(BrokenPipeError):
                    os.write(status, _STATUS.pack(os.waitstatus_to_exitcode(code)))
                os.close(status)
                os.close(watched)
                continue
            data, descriptors, _, _ = socket.recv_fds(asking, _LONGEST, 4)
            if not data:
                return 0
            *streams, status = descriptors
            pid = os.fork()
            if not pid:
                for mine in (asking.detach(), waiting.fileno(), status, *statuses, *(s for _, s in statuses.values())):
                    os.close(mine)
                return _become(json.loads(data), streams)
            for stream in streams:
                os.close(stream)
            watched = os.pidfd_open(pid)
            statuses[watched] = (pid, status)
            waiting.register(watched, selectors.EVENT_READ)
            asking.send(_STATUS.pack(pid))


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> int:
    from attestations.cli import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if asked["fresh"]:
        os.chdir(asked["folder"])
        command = [sys.executable, "-m", "attestations.cli", *asked["words"]]
        os.execve(sys.executable, command, asked["environment"])  # noqa: S606 - our own command
    # Those of the parent were opened on something else, which may be seekable.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1, closefd=False)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["safeconduct", *asked["words"]]
    try:
        main(asked["words"])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _import_everything() -> None:
    import attestations.commands
    import auditor_client.commands
    import lab_server.app
    import lab_server.commands

    for package in (attestations.commands, auditor_client.commands, lab_server.commands):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    assert threading.active_count() == 1  # a fork keeps only the thread that asked for it
    gc.freeze()  # shared with the children as long as they do not write to it


if __name__ == "__main__":
    _import_everything()
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))
