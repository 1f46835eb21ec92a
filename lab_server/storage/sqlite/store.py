"""The store on SQLite: WAL, `synchronous=FULL`, one writer thread; reads run on a connection of their own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from attestations.errors import EvidenceMissing, StoreFailed
from attestations.files import because
from lab_server.ports import Equivocation, NewFrames, StoredAgreement, StoredFrame, StoredLeaf, StoredWish
from lab_server.storage.sqlite.writer import Writer

T = TypeVar("T")
_PAGE = 256  # leaves read at once
_BLOCK = 1 << 20
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
            raise StoreFailed(f"the store {path} cannot be opened: {because(error)}", path=str(path)) from None
        self._lock = threading.Lock()

    async def close(self) -> None:
        """Finish every write and close the file."""
        await asyncio.to_thread(self._writer.close)
        self._reader.close()

    async def add_entries(
        self, name: str, position: int, entries: Sequence[bytes], agreement: StoredAgreement | None = None
    ) -> bool:
        """Keep steps of one negotiation, and an agreement that comes into force; never over another process's step."""
        places: list[int] = []

        def work(db: sqlite3.Connection) -> None:
            # BEGIN IMMEDIATE holds every other process off until this is decided and durable.
            ((size,),) = db.execute("SELECT COUNT(*) FROM negotiation WHERE name = ?", (name,))
            places.append(size)
            if size != position:
                return
            rows = [(name, position + number, entry) for number, entry in enumerate(entries)]
            db.executemany("INSERT INTO negotiation VALUES (?, ?, ?)", rows)
            if agreement is not None:
                db.execute("INSERT OR IGNORE INTO agreement VALUES (?, ?)", agreement)

        await self._writer.write(work)
        return places[-1] == position

    async def entries(self, name: str) -> list[bytes]:
        """Return every step of one negotiation in order."""
        rows = await self._read("SELECT entry FROM negotiation WHERE name = ? ORDER BY position", (name,))
        return [bytes(row[0]) for row in rows]

    async def negotiations(self) -> list[str]:
        """Return the names of all negotiations."""
        rows = await self._read("SELECT name FROM negotiation WHERE position = 0 ORDER BY name", ())
        return [str(row[0]) for row in rows]

    async def save_terms(self, auditor: str, terms: bytes) -> None:
        """Keep the terms one auditor is offered."""
        await self._writer.write(lambda db: _run(db, "INSERT OR REPLACE INTO terms VALUES (?, ?)", (auditor, terms)))

    async def terms(self, auditor: str) -> bytes | None:
        """Return the terms one auditor was last offered."""
        rows = await self._read("SELECT envelope FROM terms WHERE auditor = ?", (auditor,))
        return bytes(rows[0][0]) if rows else None

    async def save_wish(self, wish: StoredWish) -> None:
        """Keep a wish, replacing what was kept for the negotiation."""
        await self._writer.write(lambda db: _run(db, "INSERT OR REPLACE INTO wish VALUES (?, ?, ?)", wish))

    async def wishes(self) -> list[StoredWish]:
        """Return every wish, answered or not."""
        return [StoredWish(*row) for row in await self._read("SELECT * FROM wish ORDER BY name", ())]

    async def agreements(self) -> list[StoredAgreement]:
        """Return every agreement in force."""
        return [StoredAgreement(*row) for row in await self._read("SELECT * FROM agreement ORDER BY digest", ())]

    def append(self, agreement: str, leaf: StoredLeaf, frames: NewFrames | None = None) -> Awaitable[None]:
        """Add the next leaf of a log, and with it the frames of the answer it ends; never after a gap."""

        def work(db: sqlite3.Connection) -> None:
            ((size,),) = db.execute("SELECT COALESCE(MAX(position) + 1, 0) FROM leaf WHERE agreement = ?", (agreement,))
            if size != leaf.position:
                raise StoreFailed("a leaf before this one did not become durable", leaf=str(leaf.position))
            db.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?)", (agreement, *leaf))
            if frames is not None:
                db.executemany(
                    "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (agreement, frames.session, frames.seq, item.number, item.ciphertext, item.final, frames.until)
                        for item in frames.frames
                    ],
                )

        return self._writer.write(work)

    async def save_closing(self, agreement: str, statement: bytes) -> None:
        """Keep our close statement until both have signed it."""
        await self._writer.write(
            lambda db: _run(db, "INSERT OR REPLACE INTO closing VALUES (?, ?)", (agreement, statement))
        )

    async def closing(self, agreement: str) -> bytes | None:
        """Return our close statement, if we made one."""
        rows = await self._read("SELECT statement FROM closing WHERE agreement = ?", (agreement,))
        return bytes(rows[0][0]) if rows else None

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

    async def steps(self, agreement: str) -> list[StoredLeaf]:
        """Return the leaves of a log that belong to no exchange, in order."""
        rows = await self._read(
            "SELECT position, kind, session, seq, data FROM leaf WHERE agreement = ? AND session IS NULL"
            " ORDER BY position",
            (agreement,),
        )
        return [StoredLeaf(*row) for row in rows]

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
        return counted[-1]

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

    async def draw_share(self, agreement: str, fresh: bytes) -> bytes:
        """Return our share of an agreement's draw: `fresh`, kept before it is returned, unless one is kept already."""
        await self._writer.write(lambda db: _run(db, "INSERT OR IGNORE INTO draw VALUES (?, ?)", (agreement, fresh)))
        ((share,),) = await self._read("SELECT share FROM draw WHERE agreement = ?", (agreement,))
        return bytes(share)

    async def save_equivocation(self, agreement: str, equivocation: Equivocation) -> None:
        """Keep two signed messages that claim one place; one pair a place, so that nobody fills the disk with them."""
        await self._writer.write(
            lambda db: _run(
                db,
                "INSERT INTO equivocation SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"
                " (SELECT 1 FROM equivocation WHERE agreement = ?1 AND session = ?2 AND seq = ?3)",
                (agreement, *equivocation),
            )
        )

    async def equivocations(self, agreement: str) -> list[Equivocation]:
        """Return every kept pair, in the order they were kept."""
        rows = await self._read(
            "SELECT session, seq, first, second FROM equivocation WHERE agreement = ? ORDER BY rowid", (agreement,)
        )
        return [Equivocation(*row) for row in rows]

    async def save_package(self, agreement: str, name: str, data: AsyncIterator[bytes]) -> None:
        """Keep the ciphertext of one sealed package, replacing an unfinished one; nothing if `data` raises."""
        folder = self._packages / agreement
        unfinished = folder / f"{name}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                async for block in data:
                    await asyncio.to_thread(file.write, block)
                await asyncio.to_thread(_flush, file.fileno(), file.flush)
            unfinished.replace(folder / name)
            await asyncio.to_thread(_flush_folders, (folder, self._packages, self._packages.parent))
        except OSError as error:
            raise StoreFailed(f"a sealed package could not be kept: {because(error)}", package=name) from None
        finally:
            unfinished.unlink(missing_ok=True)

    def package(self, agreement: str, name: str) -> Iterator[bytes]:
        """Give the bytes of one sealed package; blocks, so it is read in a thread of its own."""
        try:
            with (self._packages / agreement / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            raise EvidenceMissing(f"a sealed package cannot be read: {error.strerror}", package=name) from None

    async def _read(self, statement: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        return await asyncio.to_thread(self._guarded, lambda: self._reader.execute(statement, values).fetchall())

    def _guarded(self, action: Callable[[], T]) -> T:
        with self._lock:
            try:
                return action()
            except sqlite3.Error as error:
                raise StoreFailed(f"the store could not be read: {because(error)}") from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _flush_folders(folders: Iterable[Path]) -> None:
    # A renamed file is only durable with the folder that names it.
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _run(db: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> None:
    db.execute(statement, values)
