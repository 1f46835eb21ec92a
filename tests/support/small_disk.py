"""A disk of a few megabytes that a test can fill and free: a file system of its own where that is allowed."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    """A folder whose disk a test fills; without the right to mount one, a limit on the sizes of a process's files."""

    def __init__(self, path: Path, *, mounted: bool) -> None:
        self.path = path
        self.mounted = mounted
        self._ballast = path / "ballast"
        self._limited: list[tuple[int, tuple[int, int]]] = []

    def fill(self, *pids: int) -> None:
        """Leave no room, for anyone or (without a mount) for these processes."""
        if self.mounted:
            with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(1024))
            return
        sizes = [path.stat().st_size for path in self.path.rglob("*.sqlite-wal")]
        for pid in pids:
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            self._limited.append((pid, before))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(sizes, default=0), before[1]))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)
        for pid, before in self._limited:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        self._limited.clear()


@contextmanager
def small_disk(path: Path, megabytes: int = 24) -> Iterator[SmallDisk]:
    """Make `path` a disk of its own for a while."""
    path.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(path, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["/bin/umount", "--lazy", str(path)], check=True)
