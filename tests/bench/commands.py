"""What one `safeconduct` command takes, as a process of its own: seconds, CPU and the most memory it has."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import psutil

_POLL = 0.02  # seconds


class Figures(NamedTuple):
    """What one command took: seconds, seconds of CPU, and its peak resident size in MiB."""

    command: str
    wall: float
    cpu: float
    peak_mib: float


def command(folder: Path, *words: str) -> Figures:
    """Run a command that has to succeed; its outputs are dropped.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        (sys.executable, "-m", "attestations.cli", *words),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended = threading.Event()
    peak = _Peak(process.pid, ended)
    peak.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    ended.set()
    peak.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words[:3])} ended with {process.returncode}")
    name = " ".join(takewhile(str.isalnum, words)).removeprefix("auditor ")
    return Figures(name, wall, usage.ru_utime + usage.ru_stime, peak.bytes / 2**20)


class _Peak(threading.Thread):
    """Looks at a process's memory again and again.

    What the kernel adds up for a child counts the memory of its parent as well, from before its program began.
    """

    def __init__(self, pid: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = ended
        self.bytes = 0

    def run(self) -> None:
        """Look until the process has ended."""
        with contextlib.suppress(psutil.Error):
            while not self._ended.wait(_POLL):
                self.bytes = max(self.bytes, self._process.memory_info().rss)
