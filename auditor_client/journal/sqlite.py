"""The journal in one SQLite file: what is kept, how it is read, and what each change writes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from attestations.documents.base import format_time, parse_time
from attestations.errors import FileUnusable, StoreFailed
from attestations.files import because
from auditor_client.campaign_state import AUXILIARY, Ending, Exchange, Held, Item, Pending, Progress, Session, Step
from auditor_client.journal.writing import Writer

SCHEMA_VERSION = 2
_SCRIPTS = {0: "schema.sql", 1: "steps.sql"}  # from which version, by which file
_FINISHED = (
    "SELECT session, seq, task, arm, epoch, exchanges.attempt, state, exchanges.step, intent, promise, document,"
    " status, code, request, request_salt, response_key, result FROM exchanges JOIN items USING (task, arm, epoch)"
    " WHERE document IS NOT NULL"
)
_PAGE = 500  # finished exchanges read at a time: a prompt is at most 256 KiB


class SqliteJournal:
    """A journal file; use as `async with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = _connect(path)
        self._db = _connect(path)
        self._writer = Writer(self._db, name=path.name)

    async def __aenter__(self) -> Self:
        self._writer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.stop()
        self.discard()

    def discard(self) -> None:
        """Close a journal that was only read."""
        self._reader.close()
        self._db.close()

    async def remember(self, name: str, value: bytes) -> None:
        """Keep a value under a name."""
        await self._writer.commit(
            lambda db: _run(
                db, "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value
            )
        )

    async def remember_new(self, values: Mapping[str, bytes]) -> bool:
        """Keep values under new names in one step, or none of them."""
        taken: list[bool] = []

        def change(db: sqlite3.Connection) -> None:
            names = list(values)
            marks = ", ".join("?" * len(names))
            found = db.execute(f"SELECT COUNT(*) FROM facts WHERE name IN ({marks})", names).fetchone()  # noqa: S608
            taken.append(bool(found[0]))
            if not taken[-1]:
                db.executemany("INSERT INTO facts VALUES (?, ?)", list(values.items()))

        await self._writer.commit(change)
        return not taken[-1]

    def recall(self, name: str) -> bytes | None:
        """Return the value under a name."""
        rows = self._read("SELECT value FROM facts WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with `prefix`."""
        rows = self._read("SELECT name FROM facts WHERE substr(name, 1, ?) = ? ORDER BY name", len(prefix), prefix)
        return [str(row[0]) for row in rows]

    async def schedule(self, items: Sequence[Item]) -> None:
        """Put items on the schedule."""

        def change(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO items (task, arm, epoch, attempt, state, step) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                [(item.task, item.arm, item.epoch, item.attempt, item.state, item.step) for item in items],
            )

        await self._writer.commit(change)

    def items(self) -> Sequence[Item]:
        """Return every item in the order of the schedule."""
        rows = self._read("SELECT task, arm, epoch, attempt, state, step FROM scheduled ORDER BY place")
        return [Item(*row) for row in rows]

    def auxiliary(self, purpose: str) -> Sequence[Item]:
        """Return every item of a purpose, by number."""
        rows = self._read(
            "SELECT task, arm, epoch, attempt, state, step FROM items WHERE task = ? AND arm = ? ORDER BY epoch",
            AUXILIARY,
            purpose,
        )
        return [Item(*row) for row in rows]

    async def begin_session(self, session: Session) -> None:
        """Keep a session."""
        await self._writer.commit(
            lambda db: _run(
                db,
                "INSERT INTO sessions (session, opening, prev, next_seq) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (session) DO UPDATE SET prev = excluded.prev, next_seq = excluded.next_seq",
                session.name,
                session.opening,
                session.prev,
                session.next_seq,
            )
        )

    def sessions(self) -> Sequence[Session]:
        """Return every session."""
        rows = self._read("SELECT session, opening, prev, next_seq FROM sessions ORDER BY place")
        return [Session(*row) for row in rows]

    async def turn(self, ended: Ending | None, intended: Pending | None) -> None:
        """End one exchange and begin the next, in one step."""

        def change(db: sqlite3.Connection) -> None:
            if ended is not None:
                _end(db, ended)
            if intended is not None:
                _begin(db, intended)

        await self._writer.commit(change)

    def pending(self, session: str) -> Pending | None:
        """Return the session's open exchange."""
        rows = self._read(
            "SELECT seq, task, arm, epoch, exchanges.attempt, state, exchanges.step, intended_at, intent,"
            " request, sealed, seed_share, response_key, request_salt"
            " FROM exchanges JOIN items USING (task, arm, epoch) WHERE session = ? AND document IS NULL",
            session,
        )
        if not rows:
            return None
        row = rows[0]
        return Pending(session, row[0], Item(*row[1:7]), parse_time(row[7]), *row[8:])

    def held(self, session: str, seq: int) -> Held | None:
        """Return what was signed at a place."""
        rows = self._read("SELECT intent, promise, document FROM exchanges WHERE session = ? AND seq = ?", session, seq)
        return Held(*rows[0]) if rows else None

    async def exchanges(self) -> AsyncIterator[Exchange]:
        """Give every finished exchange."""
        place = ("", -1)
        while True:
            found = self._read(
                f"{_FINISHED} AND (session, seq) > (?, ?) ORDER BY session, seq LIMIT ?",
                *place,
                _PAGE,
            )
            for row in found:
                yield _exchange(row)
            if len(found) < _PAGE:
                return
            place = (found[-1][0], found[-1][1])
            await asyncio.sleep(0)

    def finished(self, session: str, seq: int) -> Exchange | None:
        """Return the finished exchange at a place."""
        rows = self._read(f"{_FINISHED} AND session = ? AND seq = ?", session, seq)
        return _exchange(rows[0]) if rows else None

    def answers(self, item: Item) -> Sequence[bytes]:
        """Return the answers of the item's present attempt, in the order of its steps."""
        rows = self._read(
            "SELECT result FROM exchanges WHERE task = ? AND arm = ? AND epoch = ? AND attempt = ?"
            " AND (status IS NULL OR status != 'REFUSED') AND result IS NOT NULL ORDER BY step",  # as its index says
            item.task,
            item.arm,
            item.epoch,
            item.attempt,
        )
        return [bytes(row[0]) for row in rows]

    def steps(self, task: int, arm: str, epoch: int) -> Sequence[Step]:
        """Return every finished exchange that was promised for an item."""
        rows = self._read(
            "SELECT attempt, step, result FROM exchanges WHERE task = ? AND arm = ? AND epoch = ?"
            " AND (status IS NULL OR status != 'REFUSED')"  # as its index says
            " AND promise IS NOT NULL AND document IS NOT NULL ORDER BY attempt, step",
            task,
            arm,
            epoch,
        )
        return [Step(*row) for row in rows]

    def progress(self) -> Progress:
        """Return how far the schedule is."""
        counts = dict(self._read("SELECT state, count(*) FROM scheduled GROUP BY state"))
        return Progress(sum(counts.values()), counts.get("DONE", 0), counts.get("FAILED", 0))

    def _read(self, statement: str, *values: object) -> list[Any]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreFailed(f"the journal cannot be read: {because(error)}", file=self._path.name) from None


def _exchange(row: Sequence[Any]) -> Exchange:
    return Exchange(row[0], row[1], Item(*row[2:8]), *row[8:])


def _end(db: sqlite3.Connection, ended: Ending) -> None:
    item = ended.item
    _run(
        db,
        "UPDATE exchanges SET promise = ?, document = ?, status = ?, code = ?, result = ?, sealed = NULL"
        " WHERE session = ? AND seq = ?",
        ended.promise,
        ended.document,
        ended.status,
        ended.code,
        ended.result,
        ended.session,
        ended.seq,
    )
    _run(
        db,
        "UPDATE items SET attempt = ?, state = ?, step = ? WHERE task = ? AND arm = ? AND epoch = ?",
        item.attempt,
        item.state,
        item.step,
        item.task,
        item.arm,
        item.epoch,
    )
    place = (ended.digest, ended.seq + 1, ended.session)
    _run(db, "UPDATE sessions SET prev = ?, next_seq = ? WHERE session = ?", *place)


def _begin(db: sqlite3.Connection, intended: Pending) -> None:
    item = intended.item
    if item.purpose is not None:  # its number is taken once its Intent is durable
        new = "INSERT INTO items (task, arm, epoch, attempt, state) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        _run(db, new, item.task, item.arm, item.epoch, item.attempt, item.state)
    _run(
        db,
        "INSERT INTO exchanges (session, seq, task, arm, epoch, attempt, step, intended_at, intent, request,"
        " request_salt, sealed, seed_share, response_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        intended.session,
        intended.seq,
        item.task,
        item.arm,
        item.epoch,
        item.attempt,
        item.step,
        format_time(intended.intended_at),
        intended.intent,
        intended.request,
        intended.request_salt,
        intended.sealed,
        intended.seed_share,
        intended.response_key,
    )


def _run(db: sqlite3.Connection, statement: str, *values: object) -> None:
    db.execute(statement, values)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            # Created before SQLite opens it, so that prompts are never readable by others.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version in _SCRIPTS:
            db.executescript(files("auditor_client.journal").joinpath(_SCRIPTS[version]).read_text())
        elif version != SCHEMA_VERSION:
            raise FileUnusable("the journal was written by another version", file=path.name, version=str(version))
    except (sqlite3.Error, OSError) as error:
        raise FileUnusable(f"the journal cannot be opened: {because(error)}", file=path.name) from None
    return db
