"""The first process of a box: carries out the host's calls and leads connections to the model out.

It is PID 1 of the box, so no program in it can end it, and its memory cannot be read (not dumpable). It obeys
one channel, stdin and stdout, which no program inherits. It trusts the host and nothing in the box.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from .files import Reading, Refused, Writing
from .framing import Kind, Splitter, frame, grant, granted
from .programs import Program
from .strays import Watch, kill_all_but, own_children

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_TICK_MS = 50
_MODEL_PORT = 8080
_DESCRIPTORS = 512
_ADDRESS_SPACE = 4 << 30
_CHUNK = 32 << 10


class Connection:
    """One connection of a program to the model's address."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.credit = 256 << 10
        self.pending = bytearray()
        self.host_over = self.program_over = False


class Supervisor:
    """Everything the supervisor knows; `run` returns when the host is gone."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._programs: dict[int, Program] = {}
        self._writings: dict[int, Writing] = {}
        self._readings: dict[int, Reading] = {}
        self._connections: dict[int, Connection] = {}
        self._listener: socket.socket | None = None
        self._max_connections = 0
        self._next_connection = 1
        self._cpu_seconds = 0
        self._watch: Watch | None = None
        self._wake, wake_write = os.pipe()
        for fd in (self._wake, wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._oom_file: int | None = None
        with suppress(OSError):  # gVisor has none
            self._oom_file = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        _hide_memory()

    def run(self) -> None:
        """Serve until the channel ends."""
        while True:
            poller = select.poll()
            poller.register(0, select.POLLIN)
            poller.register(self._wake, select.POLLIN)
            self._register(poller)
            tick = _TICK_MS if self._watch is not None and own_children() else None
            ready = dict(poller.poll(tick))
            if 0 in ready and not self._hear():
                return
            if self._wake in ready:
                os.read(self._wake, 512)
            self._reap()
            if self._watch is not None:
                self._enforce()
            self._move()
            if self._listener is not None and self._listener.fileno() in ready:
                self._accept()

    def _register(self, poller: select.poll) -> None:
        for program in self._programs.values():
            if program.credit > 0:
                for fd in program.outputs:
                    poller.register(fd, select.POLLIN)
            if program.stdin >= 0 and program.pending:
                poller.register(program.stdin, select.POLLOUT)
        for connection in self._connections.values():
            events = 0
            if connection.credit > 0 and not connection.program_over:
                events |= select.POLLIN
            if connection.pending:
                events |= select.POLLOUT
            if events:
                poller.register(connection.sock.fileno(), events)
        if self._listener is not None:
            poller.register(self._listener.fileno(), select.POLLIN)

    def _hear(self) -> bool:
        data = os.read(0, 256 << 10)
        for kind, stream, payload in self._splitter.feed(data):
            if kind is Kind.CALL:
                self._call(stream, json.loads(payload))
            elif stream in self._programs:
                self._to_program(self._programs[stream], kind, payload)
            elif stream in self._writings:
                self._to_file(stream, kind, payload)
            elif stream in self._readings:
                self._to_reading(stream, kind, payload)
            elif stream in self._connections:
                self._to_connection(stream, kind, payload)
        return bool(data)

    def _call(self, stream: int, call: dict[str, Any]) -> None:
        try:
            match call["op"]:
                case "hello":
                    self._begin(call)
                    self._reply(stream, {"pid": os.getpid()})
                case "exec":
                    self._programs[stream] = Program(call, oom_file=self._oom_file, cpu_seconds=self._cpu_seconds)
                case "write":
                    self._writings[stream] = Writing(call["path"], call["mode"])
                case "read":
                    self._readings[stream] = Reading(call["path"], call["limit"])
        except Refused as refused:
            self._reply(stream, {"refused": str(refused)})
        except (OSError, ValueError) as error:  # no process or descriptor left, or a NUL in a path
            self._reply(stream, {"refused": "room" if isinstance(error, OSError) else "denied"})

    def _begin(self, call: dict[str, Any]) -> None:
        self._cpu_seconds = call["cpu_s"]
        for limit, value in (
            # Here, not in the launcher: in this user namespace NPROC counts this box alone.
            (resource.RLIMIT_NPROC, call["pids"]),
            (resource.RLIMIT_FSIZE, call["disk_mb"] << 20),
            (resource.RLIMIT_NOFILE, _DESCRIPTORS),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            # Of one process; where a cgroup bounds the box this would only break programs that reserve much.
            *([(resource.RLIMIT_AS, _ADDRESS_SPACE)] if call["watch_kb"] else []),
        ):
            resource.setrlimit(limit, (value, value))
        self._watch = Watch(call["files"], call["watch_kb"])
        self._max_connections = call["connections"]
        if self._max_connections:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", _MODEL_PORT))
            self._listener.listen(128)
            self._listener.setblocking(False)

    def _to_program(self, program: Program, kind: Kind, payload: bytes) -> None:
        if kind is Kind.DATA:
            program.pending += payload
        elif kind is Kind.END:
            program.stdin_over = True
        elif kind is Kind.GRANT:
            program.credit += granted(payload)
        elif kind is Kind.STOP:
            self._end(program, "killed")

    def _to_file(self, stream: int, kind: Kind, payload: bytes) -> None:
        writing = self._writings[stream]
        try:
            if kind is Kind.DATA:
                writing.add(payload)
                _send(grant(stream, len(payload)))
                return
            reply: dict[str, Any] = {}
        except Refused as refused:
            reply = {"refused": str(refused)}
        writing.close()
        del self._writings[stream]
        self._reply(stream, reply)

    def _to_reading(self, stream: int, kind: Kind, payload: bytes) -> None:
        if kind is Kind.GRANT:
            self._readings[stream].credit += granted(payload)
        elif kind is Kind.STOP:
            self._readings.pop(stream).close()
            self._reply(stream, {"refused": "stopped"})

    def _to_connection(self, stream: int, kind: Kind, payload: bytes) -> None:
        connection = self._connections[stream]
        if kind is Kind.DATA:
            connection.pending += payload
        elif kind is Kind.END:
            connection.host_over = True
        elif kind is Kind.GRANT:
            connection.credit += granted(payload)
        elif kind is Kind.STOP:
            self._drop(stream)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for program in self._programs.values():
                if program.pid == pid:
                    program.ended = (status, used)
                    if program.kill_stragglers:
                        self._sweep(program)

    def _end(self, program: Program, reason: str) -> None:
        if program.reason is None:
            program.reason = reason
        self._sweep(program)

    def _sweep(self, program: Program) -> None:
        others = {other.pid for other in self._programs.values() if other is not program and other.ended is None}
        kill_all_but(others, program.pid)

    def _enforce(self) -> None:
        reason = self._watch.breach() if self._watch is not None else None
        if reason is not None:
            for program in self._programs.values():
                program.reason = program.reason or reason
            kill_all_but(set(), *(program.pid for program in self._programs.values()))

    def _move(self) -> None:
        for stream, program in list(self._programs.items()):
            if taken := program.give():
                _send(grant(stream, taken))
            for kind, data in program.take():
                _send(frame(kind, stream, data))
            if program.reason == "output_limit" and program.ended is None:
                self._sweep(program)
            if program.done:
                program.close()
                del self._programs[stream]
                self._reply(stream, program.reply())
        for stream, reading in list(self._readings.items()):
            self._move_file(stream, reading)
        for stream, connection in list(self._connections.items()):
            self._move_connection(stream, connection)

    def _move_file(self, stream: int, reading: Reading) -> None:
        reply: dict[str, Any] = {}
        try:
            while data := reading.take():
                _send(frame(Kind.DATA, stream, data))
            if data is None:
                return
        except Refused as refused:
            reply = {"refused": str(refused)}
        reading.close()
        del self._readings[stream]
        self._reply(stream, reply)

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if len(self._connections) >= self._max_connections:
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms an answer (delayed ACK)
            self._connections[self._next_connection] = Connection(sock)
            _send(frame(Kind.OPEN, self._next_connection))
            self._next_connection += 2

    def _move_connection(self, stream: int, connection: Connection) -> None:
        try:
            while connection.credit > 0 and not connection.program_over:
                data = connection.sock.recv(min(_CHUNK, connection.credit))
                if not data:
                    connection.program_over = True
                    _send(frame(Kind.END, stream))
                    break
                connection.credit -= len(data)
                _send(frame(Kind.DATA, stream, data))
        except BlockingIOError:
            pass
        except OSError:
            self._break(stream)
            return
        try:
            while connection.pending:
                size = connection.sock.send(connection.pending[:_CHUNK])
                del connection.pending[:size]
                _send(grant(stream, size))
        except BlockingIOError:
            return
        except OSError:
            self._break(stream)
            return
        if connection.host_over:
            self._drop(stream)

    def _break(self, stream: int) -> None:
        _send(frame(Kind.STOP, stream))
        self._drop(stream)

    def _drop(self, stream: int) -> None:
        self._connections.pop(stream).sock.close()

    def _reply(self, stream: int, value: dict[str, Any]) -> None:
        _send(frame(Kind.REPLY, stream, json.dumps(value).encode()))


def _send(data: bytes) -> None:
    # Blocking is right: the host always reads, whatever its handlers do.
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _hide_memory() -> None:
    # Also hides /proc/PID/{environ,fd,mem} from programs of the same uid.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the supervisor cannot be hidden")


def main() -> None:
    """Serve the host on stdin and stdout."""
    # The kernel keeps every signal without a handler from PID 1, and Python gives SIGINT one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.closerange(3, 1024)
    os.umask(0o077)
    try:
        Supervisor().run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        sys.stderr.close()
        kill_all_but(set())
        os._exit(0)
