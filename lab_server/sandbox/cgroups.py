"""Limits of a whole box by control groups, versions 1 and 2, below the group this process is in."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab_server.sandbox.port import Limits

_PERIOD_US = 100_000
_PAUSE = 0.02
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer")
_LIMIT_OF = {"memory": "memory_mb", "pids": "pids", "cpu": "cpu_cores"}
_SWAP = ("memory.swap.max", "memory.memsw.limit_in_bytes")  # not there where the kernel does not count swap
_MOUNTS = Path("/proc/self/mountinfo")
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Parents:
    """Where groups can be made: a folder for each controller, in version 2 one folder for all."""

    version: int
    folders: dict[str, Path]


class Group:
    """The groups of one box."""

    def __init__(self, name: str, parents: Parents) -> None:
        self._version = parents.version
        self._folders = {controller: folder / name for controller, folder in parents.folders.items()}

    @property
    def folders(self) -> list[str]:
        """The folders to remove."""
        return sorted({str(folder) for folder in self._folders.values()})

    @property
    def enforced(self) -> frozenset[str]:
        """The fields of `Limits` that these groups bound."""
        return frozenset(_LIMIT_OF[name] for name in self._folders if name in _LIMIT_OF)

    def make(self, limits: Limits) -> None:
        """Make the groups and set the limits.

        Raises:
            OSError: they cannot be made here.
        """
        for folder in set(self._folders.values()):
            folder.mkdir()
        memory, quota = limits.memory_mb << 20, int(limits.cpu_cores * _PERIOD_US)
        if self._version == 2:  # noqa: PLR2004
            values = [
                *(("memory", "memory.max", str(memory)), ("memory", "memory.swap.max", "0")),
                *(("pids", "pids.max", str(limits.pids)), ("cpu", "cpu.max", f"{quota} {_PERIOD_US}")),
            ]
        else:
            values = [
                *(
                    ("memory", "memory.limit_in_bytes", str(memory)),
                    ("memory", "memory.memsw.limit_in_bytes", str(memory)),
                ),
                *(("pids", "pids.max", str(limits.pids)), ("cpu", "cpu.cfs_period_us", str(_PERIOD_US))),
                ("cpu", "cpu.cfs_quota_us", str(quota)),
            ]
        for controller, file, value in values:
            path = self._folders.get(controller)
            if path is not None and (file not in _SWAP or (path / file).exists()):
                (path / file).write_text(value)

    def add(self, pid: int) -> None:
        """Put a process, and all it will start, into the groups."""
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def holds(self, pid: int) -> bool:
        """Tell whether a process is in every one of the groups."""
        return all(pid in _pids(folder) for folder in set(self._folders.values()))

    def oom_kills(self) -> int:
        """How many processes were ended for want of memory."""
        file = "memory.events" if self._version == 2 else "memory.oom_control"  # noqa: PLR2004
        for line in self._read("memory", file).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def usage(self) -> tuple[float | None, int | None]:
        """CPU seconds and peak megabytes so far."""
        if self._version == 2:  # noqa: PLR2004
            words = self._read("cpu", "cpu.stat").split()
            micro = int(words[words.index("usage_usec") + 1]) if "usage_usec" in words else None
            cpu_s = None if micro is None else micro / 1e6
            peak = self._read("memory", "memory.peak")
        else:
            nano = self._read("cpuacct", "cpuacct.usage").strip()
            cpu_s = int(nano) / 1e9 if nano else None
            peak = self._read("memory", "memory.max_usage_in_bytes")
        return cpu_s, int(peak) >> 20 if peak.strip() else None

    def kill(self) -> None:
        """End every process in the groups."""
        kill_all(self.folders)

    async def remove(self) -> None:
        """Remove the groups; a group can be removed once its last process is gone."""
        await remove_all(self.folders)

    def _read(self, controller: str, file: str) -> str:
        folder = self._folders.get(controller)
        if folder is None:
            return ""
        try:
            return (folder / file).read_text()
        except OSError:
            return ""


def find_parents(mounts: Path = _MOUNTS, own: Path = _OWN) -> Parents | None:
    """Return where this process may make groups with a memory limit, or None."""
    two, one = _hierarchies(mounts, own)
    if two is not None and (found := _version_two(two)) is not None:
        return found
    usable = {name: folder for name, folder in one.items() if name in _CONTROLLERS and _writable(folder)}
    return Parents(1, usable) if "memory" in usable else None


def kill_all(folders: list[str]) -> None:
    """End every process in these groups."""
    for folder in map(Path, folders):
        with suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        for pid in _pids(folder):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


async def remove_all(folders: list[str], seconds: float = 5.0) -> None:
    """Remove groups, ending what is in them; gives up silently, since the next reaper comes by."""
    for _ in range(int(seconds / _PAUSE)):
        if not (left := _still_there(folders)):
            return
        kill_all(left)
        await asyncio.sleep(_PAUSE)


def _still_there(folders: list[str]) -> list[str]:
    left = []
    for folder in map(Path, folders):
        with suppress(OSError):
            folder.rmdir()
        if folder.is_dir():
            left.append(str(folder))
    return left


def _pids(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _version_two(parent: Path) -> Parents | None:
    try:
        available = (parent / "cgroup.controllers").read_text().split()
    except OSError:
        return None
    if "memory" not in available or not _writable(parent):
        return None
    wanted = [name for name in ("memory", "pids", "cpu") if name in available]
    control = parent / "cgroup.subtree_control"
    if not set(wanted) <= set(control.read_text().split()):
        with suppress(OSError):  # fails where processes sit in the parent itself; then nothing is delegated to us
            control.write_text(" ".join(f"+{name}" for name in wanted))
    enabled = control.read_text().split()
    names = [name for name in wanted if name in enabled]
    return Parents(2, dict.fromkeys(names, parent)) if "memory" in names else None


def _writable(folder: Path) -> bool:
    probe = folder / f"safeconduct-probe-{secrets.token_hex(6)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _hierarchies(mounts: Path, own: Path) -> tuple[Path | None, dict[str, Path]]:
    """Return our own group's folder in version 2, and in version 1 for each controller."""
    two: Path | None = None
    one: dict[str, Path] = {}
    try:
        ours = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in own.read_text().splitlines()}
        for kind, root, point, options in _mounted(mounts):
            for names, path in ours.items():
                inner = path[len(root.rstrip("/")) :] if path.startswith(root) else ""
                folder = Path(point + inner.rstrip("/"))
                if kind == "cgroup2" and not names:
                    two = folder
                elif kind == "cgroup" and names and set(names.split(",")) <= set(options):
                    one.update(dict.fromkeys(names.split(","), folder))
    except (OSError, ValueError, IndexError):
        return None, {}
    return two, one


def _mounted(mounts: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[0] in ("cgroup", "cgroup2"):
            yield kind[0], fields[3], fields[4], kind[2].split(",")
