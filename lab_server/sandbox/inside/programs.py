"""Starts, feeds, reads and ends one program in the box."""

from __future__ import annotations

import os
import resource

from .framing import MAX_PAYLOAD, WINDOW, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # what `signal` wraps in enums, which are slow to import

_CHUNK = MAX_PAYLOAD
_READS = 8  # of one pipe before others get their turn
_NOT_FOUND, _NOT_STARTED = 127, 126  # what a shell answers


class Program:
    """One program that the host asked for, from its start until its last byte is sent."""

    def __init__(self, call: dict[str, Any], *, oom_file: int | None, cpu_seconds: int) -> None:
        self.credit = WINDOW
        self.pending = bytearray()  # stdin that the program has not taken yet
        self.stdin_over = False
        self.ended: tuple[int, Any] | None = None  # status and usage, as wait4 gives them
        self.reason: str | None = None  # why we ended it, if we did
        self.truncated = False
        self.room = int(call["output"])
        self.kill_stragglers = bool(call["stragglers"])
        theirs_in, self.stdin = os.pipe()
        self.outputs: dict[int, int] = {}
        theirs = [theirs_in]
        for kind in (Kind.DATA, Kind.ERRORS):
            ours, their = os.pipe()
            os.set_blocking(ours, False)
            self.outputs[ours] = kind
            theirs.append(their)
        os.set_blocking(self.stdin, False)
        try:
            self.pid = _start(call, theirs, oom_file, cpu_seconds)
        except OSError:
            self.close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def take(self) -> list[tuple[int, bytes]]:
        """Return output that is there and may be sent; notes it when the limit is reached."""
        found = []
        for fd, kind in list(self.outputs.items()):
            for _ in range(_READS):
                if self.credit <= 0 or (self.truncated and self.ended is not None):
                    break
                try:
                    data = os.read(fd, min(_CHUNK, self.credit))
                except BlockingIOError:
                    if self.ended is not None:
                        self._shut(fd)  # what it left running may hold the pipe open for ever
                    break
                if not data:
                    self._shut(fd)
                    break
                kept = data[: self.room]
                self.room -= len(kept)
                if len(kept) < len(data):
                    self.truncated = True
                    self.reason = self.reason or "output_limit"
                if kept:
                    self.credit -= len(kept)
                    found.append((kind, kept))
            if self.truncated and self.ended is not None and fd in self.outputs:
                self._shut(fd)
        return found

    def give(self) -> int:
        """Write stdin that is due; returns how many bytes the program took."""
        taken = 0
        if self.stdin < 0:
            taken = len(self.pending)  # nobody reads it any more
            self.pending.clear()
            return taken
        try:
            while self.pending:
                size = os.write(self.stdin, self.pending[:_CHUNK])
                del self.pending[:size]
                taken += size
        except BlockingIOError:
            return taken
        except OSError:
            self.stdin_over = True
            taken += len(self.pending)
            self.pending.clear()
        if self.stdin_over and not self.pending:
            os.close(self.stdin)
            self.stdin = -1
        return taken

    @property
    def done(self) -> bool:
        """Whether it has ended and nothing more will be sent."""
        return self.ended is not None and not self.outputs

    @property
    def takes_all_along(self) -> bool:
        """Whether nothing it started may outlive it."""
        return self.kill_stragglers or self.reason is not None

    def close(self) -> None:
        """Close what is still open."""
        for fd in list(self.outputs):
            self._shut(fd)
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def reply(self) -> dict[str, Any]:
        """Say how it ended."""
        status, used = self.ended or (0, None)
        return {
            "rc": None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "reason": self.reason or "exited",
            "truncated": self.truncated,
            "cpu_ms": round((used.ru_utime + used.ru_stime) * 1000) if used else 0,
            "peak_kb": used.ru_maxrss if used else 0,
        }

    def _shut(self, fd: int) -> None:
        del self.outputs[fd]
        os.close(fd)


def _start(call: dict[str, Any], stdio: list[int], oom_file: int | None, cpu_seconds: int) -> int:
    # oom_score_adj is inherited, and its file can be opened only before the supervisor hides its memory.
    _offer_to_oom_killer(oom_file, b"1000")
    try:
        pid = os.fork()
        if pid == 0:
            _become(call, stdio, cpu_seconds)
    finally:
        _offer_to_oom_killer(oom_file, b"0")
    return pid


def _offer_to_oom_killer(oom_file: int | None, score: bytes) -> None:
    if oom_file is not None:
        os.pwrite(oom_file, score, 0)


def _become(call: dict[str, Any], stdio: list[int], cpu_seconds: int) -> None:
    code, words = _NOT_STARTED, b"cannot start the program\n"
    try:
        signal.set_wakeup_fd(-1)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(ignored, signal.SIG_DFL)  # Python ignores the first two, and children would inherit that
        os.setsid()
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)  # every other descriptor closes at exec
        os.nice(5)  # the supervisor must get through to end it
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        os.chdir(call["cwd"])
        os.execvpe(call["argv"][0], call["argv"], call["env"])  # noqa: S606 - no shell is the point
    except FileNotFoundError:
        code, words = _NOT_FOUND, b"no such program or folder\n"
    except OSError as error:
        words = f"cannot start the program: {error.strerror}\n".encode()
    finally:
        os.write(2, words)
        os._exit(code)
