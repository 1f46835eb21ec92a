"""What the journal said is durable survives SIGKILL."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attestations.errors import FileUnusable, StoreFailed
from auditor_client.campaign_state import Item, Session
from auditor_client.journal.sqlite import SqliteJournal
from tests.support.audit_world import START
from tests.unit.auditor_client.conftest import Audit

WRITER = """
import asyncio, sys
from pathlib import Path
from auditor_client.journal.sqlite import SqliteJournal

async def go():
    async with SqliteJournal(Path(sys.argv[1])) as journal:
        async def lane(name):
            for number in range(100000):
                await journal.remember(f"{name}/{number:06}", b"x")
                print(f"{name}/{number:06}", flush=True)
        await asyncio.gather(*(lane(name) for name in "abcd"))

asyncio.run(go())
"""


def test_everything_acknowledged_is_there_after_a_kill(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "journal.sqlite"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=repository
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.2)
            writer.send_signal(signal.SIGKILL)
            said = writer.stdout.read().split()
        journal = SqliteJournal(path)
        kept = set(journal.names(""))
        journal.discard()

        assert {name.decode() for name in said[:-1]} <= kept


async def test_a_prompt_is_readable_by_nobody_else(audit: Audit) -> None:
    assert stat.S_IMODE((audit.folder / "journal.sqlite").stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


async def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is not a database, whatever its name says, and it is long enough")

    with pytest.raises(FileUnusable):
        SqliteJournal(path)


async def test_one_session_has_one_open_exchange(audit: Audit) -> None:
    await audit.run()
    session = audit.journal.sessions()[0]
    held = audit.journal.held(session.name, 0)
    assert held is not None
    from dataclasses import replace

    from auditor_client.campaign_state import Pending

    open_ = Pending(session.name, 500, Item(0, "other", 0), START, b"i", b"r", b"s", b"d", b"k", b"t")
    await audit.journal.schedule([Item(0, "other", 0), Item(1, "other", 0)])
    await audit.journal.turn(None, open_)

    with pytest.raises(StoreFailed):
        await audit.journal.turn(None, replace(open_, seq=501, item=Item(1, "other", 0)))
    assert [p.seq for p in [audit.journal.pending(session.name)] if p is not None] == [500]


async def test_sessions_come_back_in_the_order_they_were_begun(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        for name in ("s-z", "s-a"):
            await journal.begin_session(Session(name, b"opening"))
        await journal.begin_session(Session("s-z", b"opening", prev="00" * 32))

        assert [(item.name, item.prev) for item in journal.sessions()] == [("s-z", "00" * 32), ("s-a", None)]


async def test_a_damaged_journal_and_a_change_that_fails_are_said_and_stop_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with SqliteJournal(path) as journal:
        for number in range(200):
            await journal.remember(f"name-{number}", bytes(2000))
        with pytest.raises(StoreFailed, match="cannot be written"):
            await journal.remember("name", object())  # type: ignore[arg-type]
        await journal.remember("after", b"kept")
        assert journal.recall("after") == b"kept"
    data = bytearray(path.read_bytes())
    data[4096 * 3 :] = bytes(len(data) - 4096 * 3)
    path.write_bytes(bytes(data))
    async with SqliteJournal(path) as journal:
        with pytest.raises(StoreFailed, match="cannot be read"):
            journal.recall("name-7")
