"""The first process of a box: carries out the host's calls and leads connections to the model out.

It is PID 1 of the box, so no program in it can end it, and its memory cannot be read (not dumpable). It obeys
one channel, stdin and stdout, which no program inherits. It trusts the host and nothing in the box.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import select

from .connections import Connections
from .files import Reading, Refused, Writing
from .framing import Kind, Splitter, frame, grant, granted
from .programs import Program
from .speaking import send, send_reply
from .strays import Watch, kill_all_but, only_left, own_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # what `signal` wraps in enums, which are slow to import

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_TICK_MS = 50
_DESCRIPTORS = 512
_ADDRESS_SPACE = 4 << 30


class Supervisor:
    """Everything the supervisor knows; `run` returns when the host is gone."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._programs: dict[int, Program] = {}
        self._writings: dict[int, Writing] = {}
        self._readings: dict[int, Reading] = {}
        self._connections: Connections | None = None
        self._cpu_seconds = 0
        self._watch: Watch | None = None
        self._wake, wake_write = os.pipe()
        for fd in (self._wake, wake_write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._oom_file: int | None
        try:
            self._oom_file = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        except OSError:
            self._oom_file = None  # gVisor has none
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

    def _register(self, poller: select.poll) -> None:
        for program in self._programs.values():
            if program.credit > 0:
                for fd in program.outputs:
                    poller.register(fd, select.POLLIN)
            if program.stdin >= 0 and program.pending:
                poller.register(program.stdin, select.POLLOUT)
        if self._connections is not None:
            self._connections.register(poller)

    def _hear(self) -> bool:
        data = os.read(0, 256 << 10)
        for kind, stream, payload in self._splitter.feed(data):
            if kind == Kind.CALL:
                self._call(stream, marshal.loads(payload))  # noqa: S302 - the host's, which we obey
            elif stream in self._programs:
                self._to_program(self._programs[stream], kind, payload)
            elif stream in self._writings:
                self._to_file(stream, kind, payload)
            elif stream in self._readings:
                self._to_reading(stream, kind, payload)
            elif self._connections is not None:
                self._connections.hear(stream, kind, payload)
        return bool(data)

    def _call(self, stream: int, call: dict[str, Any]) -> None:
        try:
            match call["op"]:
                case "hello":
                    self._begin(call)
                    send_reply(stream, {"pid": os.getpid()})
                case "exec":
                    self._programs[stream] = Program(call, oom_file=self._oom_file, cpu_seconds=self._cpu_seconds)
                case "write":
                    self._writings[stream] = Writing(call["path"], call["mode"])
                case "read":
                    self._readings[stream] = Reading(call["path"], call["limit"])
        except Refused as refused:
            send_reply(stream, {"refused": str(refused)})
        except (OSError, ValueError) as error:  # no process or descriptor left, or a NUL in a path
            send_reply(stream, {"refused": "room" if isinstance(error, OSError) else "denied"})

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
        if call["connections"]:
            self._connections = Connections(call["connections"])

    def _to_program(self, program: Program, kind: int, payload: bytes) -> None:
        if kind == Kind.DATA:
            program.pending += payload
        elif kind == Kind.END:
            program.stdin_over = True
        elif kind == Kind.GRANT:
            program.credit += granted(payload)
        elif kind == Kind.STOP:
            self._end(program, "killed")

    def _to_file(self, stream: int, kind: int, payload: bytes) -> None:
        writing = self._writings[stream]
        try:
            if kind == Kind.DATA:
                writing.add(payload)
                send(grant(stream, len(payload)))
                return
            reply: dict[str, Any] = {}
        except Refused as refused:
            reply = {"refused": str(refused)}
        writing.close()
        del self._writings[stream]
        send_reply(stream, reply)

    def _to_reading(self, stream: int, kind: int, payload: bytes) -> None:
        if kind == Kind.GRANT:
            self._readings[stream].credit += granted(payload)
        elif kind == Kind.STOP:
            self._readings.pop(stream).close()
            send_reply(stream, {"refused": "stopped"})

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
        kill_all_but(self._running_beside(program), program.pid)

    def _running_beside(self, program: Program) -> set[int]:
        return {other.pid for other in self._programs.values() if other is not program and other.ended is None}

    def _enforce(self) -> None:
        reason = self._watch.breach() if self._watch is not None else None
        if reason is not None:
            for program in self._programs.values():
                program.reason = program.reason or reason
            kill_all_but(set(), *(program.pid for program in self._programs.values()))

    def _move(self) -> None:
        for stream, program in list(self._programs.items()):
            if taken := program.give():
                send(grant(stream, taken))
            for kind, data in program.take():
                send(frame(kind, stream, data))
            if program.reason == "output_limit" and program.ended is None:
                self._sweep(program)
            if program.done:
                if program.takes_all_along and not only_left(self._running_beside(program)):
                    self._sweep(program)  # and answer when they are gone, not when they have been told
                    continue
                program.close()
                del self._programs[stream]
                send_reply(stream, program.reply())
        for stream, reading in list(self._readings.items()):
            self._move_file(stream, reading)
        if self._connections is not None:
            self._connections.move()

    def _move_file(self, stream: int, reading: Reading) -> None:
        reply: dict[str, Any] = {}
        try:
            while data := reading.take():
                send(frame(Kind.DATA, stream, data))
            if data is None:
                return
        except Refused as refused:
            reply = {"refused": str(refused)}
        reading.close()
        del self._readings[stream]
        send_reply(stream, reply)


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
        kill_all_but(set())
        os._exit(0)
