"""Sealing and opening the package of N transcripts, from an auditor's journal to a file and back: seconds, peak memory.

`python -m tests.bench.packages FOLDER N` measures one size in a process of its own and prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.envelope import Envelope, parse_envelope
from attestations.log_entries import parse_entry
from attestations.packages import check_package
from auditor_client import sealing_packages
from auditor_client.journal.sqlite import SqliteJournal
from tests.support.audit_world import suite_key
from tests.support.world import World, run_steps
from tests.support.world_suite import make_tasks

SESSIONS = 8
_BLOCK = 1 << 20


class Sealed(NamedTuple):
    """One size; memory is the peak resident size of the process in MiB, of which `base` is there before it begins."""

    exchanges: int
    file_mib: float
    seal_seconds: float
    open_seconds: float
    base_mib: float
    peak_mib: float


def measure(exchanges: int) -> Sealed:
    """Seal and open one size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "journal.sqlite", exchanges)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.packages", folder, str(exchanges)],
            capture_output=True,
            check=True,
        )
    return Sealed(**json.loads(done.stdout))


def fill(path: Path, exchanges: int) -> None:
    """Write a journal of finished exchanges: real Records, about 2 KiB of request and answer each."""
    asyncio.run(_created(path))
    record = _record()
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO items (task, arm, epoch, attempt, state) VALUES (?, 'as_shipped', 0, 0, 'DONE')",
            ((number,) for number in range(exchanges)),
        )
        db.executemany(
            "INSERT INTO sessions (session, opening, prev, next_seq) VALUES (?, x'00', 'x', 0)",
            ((f"s{number}",) for number in range(SESSIONS)),
        )
        db.executemany(
            "INSERT INTO exchanges (session, seq, task, arm, epoch, attempt, intended_at, intent, promise, document,"
            " status, request, request_salt, seed_share, response_key, result)"
            " VALUES (?, ?, ?, 'as_shipped', 0, 0, '2026-11-02T12:00:00Z', x'00', x'00', ?, 'COMPLETED',"
            " ?, ?, x'00', ?, ?)",
            (
                (
                    f"s{number % SESSIONS}",
                    number // SESSIONS,
                    number,
                    _numbered(record, number),
                    canonical_bytes({"prompt": f"{number} " + "x" * 1000}),
                    bytes(32),
                    bytes(32),
                    canonical_bytes({"answer": f"{number} " + "y" * 1000}),
                )
                for number in range(exchanges)
            ),
        )


async def _created(path: Path) -> None:
    async with SqliteJournal(path):
        pass


def _record() -> Envelope:
    world = World(tasks=make_tasks(40))
    world.steps = run_steps(len(world.exchanges))
    log = world.build().log
    lines = log.prefix(log.size).splitlines()
    return next(entry.documents[-1] for entry in map(parse_entry, lines) if entry.kind == "record")


def _numbered(record: Envelope, number: int) -> bytes:
    payload = canonical_bytes({**parse_canonical(record.payload), "logIndex": str(number)})
    return Envelope(record.payload_type, payload, record.signatures).to_bytes()


async def _measure(folder: Path, exchanges: int) -> Sealed:
    parse_envelope(_numbered(_record(), 1))  # everything is imported and warm before memory is read
    peak = _Peak()
    async with SqliteJournal(folder / "journal.sqlite") as journal:
        started = time.perf_counter()
        places = await sealing_packages.answered(journal)
        chunks = partial(sealing_packages._transcripts, journal, places)
        package = sealing_packages.seal_one("C7", chunks, suite_key(), folder)
        sealed = time.perf_counter()
    assert package is not None
    path = sealing_packages.package_path(folder, "C7")
    check_package(
        _blocks(path),
        chunks=package.chunks,
        ciphertext_root=package.ciphertext_root,
        key_root=package.key_root,
        key_commitment=package.key_commitment,
        file_bytes=int(package.file_bytes),
        file_digest=package.file_digest,
        class_key=suite_key().class_key("C7"),
    )
    opened = time.perf_counter()
    assert package.chunks == exchanges
    size = path.stat().st_size / 2**20
    return Sealed(exchanges, size, sealed - started, opened - sealed, *peak.mib())


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


class _Peak:
    """The resident size at the beginning and the largest since; the kernel's own peak includes that of our parent."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._base = self._peak = self._process.memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def mib(self) -> tuple[float, float]:
        """Stop looking and return both in MiB."""
        self._done.set()
        self._thread.join()
        return self._base / 2**20, self._peak / 2**20


if __name__ == "__main__":
    found = asyncio.run(_measure(Path(sys.argv[1]), int(sys.argv[2])))
    print(json.dumps(found._asdict()))
