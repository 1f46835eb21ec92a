"""The store on SQLite: WAL, `synchronous=FULL`, one writer thread; reads run on a connection of their own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from attestations.errors import StoreFailed
from lab_server.ports import NewFrames, StoredAgreement, StoredFrame, StoredLeaf, StoredOffer
from lab_server.storage.sqlite.writer import Writer

T = TypeVar("T")
_PAGE = 256  # leaves read at once
_BUSY_SECONDS = 10.0


class SqliteStore:
    """The lab's memory in one file; packages lie beside it."""

    def __init__(self, path: Path) -> None:
        """Open or create the store.

        Raises:
            StoreFailed: the file is not a store, or cannot be read and written.
        """
        self._packages = path.parent / "packages"
        try:
            self._reader = _connect(path)
            self._reader.executescript(files("lab_server.storage.sqlite").joinpath("schema.sql").read_text())
            self._writer = Writer(_connect(path))
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"the store {path} cannot be opened: {error}", path=str(path)) from None
        self._lock = threading.Lock()

    async def close(self) -> None:
        """Finish every write and close the file."""
        await asyncio.to_thread(self._writer.close)
        self._reader.close()

    async def save_offer(self, offer: StoredOffer) -> None:
        """Keep the state of one engagement's negotiation, replacing what was kept."""
        await self._writer.write(lambda db: _put_offer(db, offer))

    async def offer(self, engagement: str) -> StoredOffer | None:
        """Return the state of one engagement's negotiation."""
        rows = await self._read("SELECT * FROM offer WHERE engagement = ?", (engagement,))
        return StoredOffer(*rows[0]) if rows else None

    async def conclude(self, agreement: StoredAgreement, offer: StoredOffer) -> None:
        """Put an agreement in force; again with the same bytes changes nothing."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO agreement VALUES (?, ?)", agreement)
            _put_offer(db, offer)

        await self._writer.write(work)

    async def agreements(self) -> list[StoredAgreement]:
        """Return every agreement in force."""
        return [StoredAgreement(*row) for row in await self._read("SELECT * FROM agreement ORDER BY digest", ())]

    async def append(self, agreement: str, leaf: StoredLeaf, frames: NewFrames | None = None) -> None:
        """Add the next leaf of a log, and with it the frames of the answer it ends."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?)", (agreement, *leaf))
            if frames is not None:
                db.executemany(
                    "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (agreement, frames.session, frames.seq, item.number, item.ciphertext, item.final, frames.until)
                        for item in frames.frames
                    ],
                )

        await self._writer.write(work)

    async def leaves(self, agreement: str, start: int) -> AsyncIterator[StoredLeaf]:
        """Give a log's leaves from `start` in order."""
        while True:
            rows = await self._read(
                "SELECT position, kind, session, seq, data FROM leaf WHERE agreement = ? AND position >= ?"
                " ORDER BY position LIMIT ?",
                (agreement, start, _PAGE),
            )
            for row in rows:
                yield StoredLeaf(*row)
            if len(rows) < _PAGE:
                return
            start += _PAGE

    async def exchange(self, agreement: str, session: str, seq: int) -> list[StoredLeaf]:
        """Return the leaves of one exchange in order."""
        rows = await self._read(
            "SELECT position, kind, session, seq, data FROM leaf"
            " WHERE agreement = ? AND session = ? AND seq = ? ORDER BY position",
            (agreement, session, seq),
        )
        return [StoredLeaf(*row) for row in rows]

    async def frames(self, agreement: str, session: str, seq: int, *, now: str) -> list[StoredFrame]:
        """Return the frames of one answer, or none once their time has passed."""
        rows = await self._read(
            "SELECT number, ciphertext, final FROM frame"
            " WHERE agreement = ? AND session = ? AND seq = ? AND until >= ? ORDER BY number",
            (agreement, session, seq, now),
        )
        return [StoredFrame(number, ciphertext, bool(final)) for number, ciphertext, final in rows]

    async def purge_frames(self, *, now: str) -> int:
        """Forget every frame whose time has passed and return how many there were."""
        counted: list[int] = []

        def work(db: sqlite3.Connection) -> None:
            counted.append(db.execute("DELETE FROM frame WHERE until < ?", (now,)).rowcount)

        await self._writer.write(work)
        return counted[0]

    async def save_cosigned(self, agreement: str, size: int, note: str) -> None:
        """Keep a cosigned checkpoint; the largest is what a restart is held against."""
        await self._writer.write(
            lambda db: _run(db, "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", (agreement, size, note))
        )

    async def cosigned(self, agreement: str) -> str | None:
        """Return the largest cosigned checkpoint."""
        rows = await self._read(
            "SELECT note FROM cosigned WHERE agreement = ? ORDER BY size DESC LIMIT 1", (agreement,)
        )
        return str(rows[0][0]) if rows else None

    async def save_equivocation(self, agreement: str, session: str, seq: int, first: bytes, second: bytes) -> None:
        """Keep two signed messages that claim one place: evidence against their signer."""
        await self._writer.write(
            lambda db: _run(
                db, "INSERT INTO equivocation VALUES (?, ?, ?, ?, ?)", (agreement, session, seq, first, second)
            )
        )

    async def save_package(self, agreement: str, name: str, data: AsyncIterator[bytes]) -> None:
        """Keep the ciphertext of one sealed package, replacing an unfinished one."""
        folder = self._packages / agreement
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder / f"{name}.part"
            with unfinished.open("wb") as file:
                async for block in data:
                    await asyncio.to_thread(file.write, block)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            unfinished.replace(folder / name)
        except OSError as error:
            raise StoreFailed(f"a sealed package could not be kept: {error.strerror}", package=name) from None

    async def _read(self, statement: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        return await asyncio.to_thread(self._guarded, lambda: self._reader.execute(statement, values).fetchall())

    def _guarded(self, action: Callable[[], T]) -> T:
        with self._lock:
            try:
                return action()
            except sqlite3.Error as error:
                raise StoreFailed(f"the store could not be read: {error}") from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _put_offer(db: sqlite3.Connection, offer: StoredOffer) -> None:
    db.execute("INSERT OR REPLACE INTO offer VALUES (?, ?, ?, ?, ?, ?)", offer)


def _run(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> None:
    db.execute(statement, values)
