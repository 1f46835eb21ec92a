"""Finds and ends processes of the box, and watches what no kernel limit bounds here."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGKILL = 9
_FOLDERS = ("/box", "/tmp", "/dev/shm", "/run")  # noqa: S108 - the box's own
_ROUNDS = 100
_PAGE_KB = 4


class Watch:
    """Files and memory of the box as a whole, looked at every tick; `max_kb` is 0 where a cgroup limits memory."""

    def __init__(self, max_files: int, max_kb: int) -> None:
        self._max_files = max_files
        self._max_kb = max_kb
        self._before = _inodes()
        self._last = 0
        self._doomed: set[int] = set()

    def breach(self) -> str | None:
        """Return why programs must end now, or None."""
        files = _inodes() - self._before
        grew = files > self._last
        self._last = files
        if files > self._max_files and grew:  # at the limit a program may still remove files
            return "file_limit"
        if self._max_kb:
            there = set(_processes())
            self._doomed &= there  # ended before, still giving their memory back: not to be held against new ones
            if sum(_resident_kb(pid) for pid in there - self._doomed) > self._max_kb:
                self._doomed = there
                return "oom"
        return None


def kill_all_but(kept: set[int], *groups: int) -> None:
    """End every process of the box that does not descend from `kept`; `groups` are sessions to end in any case.

    Outside a box of its own (PID 1) only the groups are ended.
    """
    for group in groups:
        _try(os.killpg, group)
    if os.getpid() != 1:
        return
    if not kept:
        _try(os.kill, -1)  # all at once: none of them can fork away from it
        return
    for _ in range(_ROUNDS):  # a chain of forks may run ahead of one round
        doomed = _strays(kept)
        for pid in doomed:
            _try(os.kill, pid)
        if not doomed:
            return


def only_left(kept: set[int]) -> bool:
    """Tell whether nothing runs in the box but `kept` and what descends from them."""
    if os.getpid() != 1:
        return True
    return not _strays(kept) if kept else not own_children()


def own_children() -> bool:
    """Tell whether any process is left that somebody started."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _strays(kept: set[int]) -> list[int]:
    return [pid for pid in _processes() if not _descends(pid, kept)]


def _try(kill: Callable[[int, int], None], target: int) -> None:
    try:
        kill(target, _SIGKILL)
    except OSError:
        return  # nobody is there any more


def _processes() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()) and not _gone(int(name)):
            yield int(name)


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _gone(pid: int) -> bool:
    found = _stat(pid)
    return not found or found[0] in (b"Z", b"X")


def _descends(pid: int, kept: set[int]) -> bool:
    while pid > 1:
        if pid in kept:
            return True
        found = _stat(pid)
        if not found:
            return True  # already gone
        pid = int(found[1])
    return False


def _resident_kb(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_KB
    except (OSError, IndexError):
        return 0


def _inodes() -> int:
    used = 0
    for folder in _FOLDERS:
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        if found.f_files > 0:
            used += found.f_files - found.f_ffree
    return used
