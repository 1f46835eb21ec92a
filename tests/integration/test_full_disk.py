"""A disk that fills while an audit runs, on either side: one sentence, nothing acknowledged lost, and it goes on."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.forking import Running
from tests.support.real_audit import Ran, RealAudit, real_audit
from tests.support.small_disk import SmallDisk, small_disk

ITEMS = 24


@asynccontextmanager
async def an_audit(folder: Path) -> AsyncIterator[RealAudit]:
    drafts = [Draft(task.fields, task.question) for task in suite(ITEMS, size=ITEMS + 1).tasks]
    script = {"otherwise": "yes", "stall_seconds": 0.1, "record_calls": str(folder / "calls.txt")}
    audit = real_audit(folder, drafts, design().plan, script=script, lanes=4, max_attempts=20)
    await audit.lab.start()
    await audit.must("propose")
    yield audit
    assert await audit.lab.stop() == 0
    assert (await audit.lab.command("fsck"))[::2] == (0, "")


@asynccontextmanager
async def running(audit: RealAudit, until: int) -> AsyncIterator[Running]:
    """Start `run` and wait until so many items are answered."""
    process = audit.start("run")
    async with asyncio.timeout(60):
        while answered(audit) < until:
            assert process.returncode is None, await process.communicate()
            await asyncio.sleep(0.05)
    yield process


def answered(audit: RealAudit) -> int:
    """Return how many answers the auditor holds."""
    try:
        with closing(sqlite3.connect(f"file:{audit.auditor.journal}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT count(*) FROM items WHERE state = 'DONE'").fetchone()[0])
    except sqlite3.Error:
        return 0


def one_sentence(ran: Ran) -> str:
    """Return what a command that must fail said, last of all."""
    assert ran.code == ExitCode.SETUP, (ran.code, ran.out, ran.err)
    assert "Traceback" not in ran.err
    said = [line for line in ran.err.splitlines() if line.startswith("safeconduct: ")]
    assert len(said) == 1, ran.err
    return said[0]


async def completed(audit: RealAudit) -> None:
    """Carry the audit on to evidence that holds, in which nothing was asked twice."""
    executed = Counter((audit.folder / "calls.txt").read_text().split())
    assert {1} == set(executed.values())  # request and seed name one Promise
    verified = await audit.verify("S1")
    assert verified.code == 0, verified.out
    counts = json.loads(verified.out)["counts"]
    assert int(counts["COMPLETED"]) == ITEMS + 1


async def test_the_labs_disk_fills_while_exchanges_run(tmp_path: Path) -> None:
    with small_disk(tmp_path / "lab") as disk:
        async with an_audit(tmp_path) as audit, running(audit, until=5) as process:
            disk.fill(audit.lab.pid)
            await asyncio.sleep(0.7)
            before = answered(audit)
            await asyncio.sleep(1.5)
            assert answered(audit) == before  # it waits for the lab
            assert (await audit.lab.command("status"))[0] in (0, ExitCode.SETUP)
            disk.free()
            out, err = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0, err.decode()
            assert f"{ITEMS + 1} of {ITEMS + 1} answered" in out.decode()
            for word in ("close", "grade"):
                await audit.must(word)
            await deliver(audit, disk)
            await audit.must("release", "S1")
            await completed(audit)


async def deliver(audit: RealAudit, disk: SmallDisk) -> None:
    """Deliver the sealed packages to a disk without room, and again."""
    disk.fill(audit.lab.pid)
    ran = await audit.run("seal")
    assert (ran.code, ran.err.count("\n")) == (ExitCode.UNREACHABLE, 1), ran.err
    assert "the lab cannot" in ran.err
    disk.free()
    await asyncio.sleep(1.5)  # the lab looks again every second
    await audit.must("seal")


async def test_the_auditors_disk_fills_while_it_runs_seals_and_releases(tmp_path: Path) -> None:
    with small_disk(tmp_path / "auditor") as disk:
        async with an_audit(tmp_path) as audit:
            async with running(audit, until=5) as process:
                disk.fill(process.pid)
                out, err = await asyncio.wait_for(process.communicate(), 60)
                assert "full" in one_sentence(Ran(process.returncode or 0, out.decode(), err.decode()))
            disk.free()
            for word in ("run", "close", "grade"):
                await audit.must(word)
            if disk.mounted:
                for words in (("seal",), ("release", "S1")):
                    disk.fill()
                    assert "full" in one_sentence(await audit.run(*words))
                    disk.free()
                    await audit.must(*words)
            else:
                await audit.must("seal")
                await audit.must("release", "S1")
            await completed(audit)


@pytest.mark.parametrize("word", ["lab", "auditor"])
async def test_a_folder_that_cannot_be_completed_is_not_left_half_made(tmp_path: Path, word: str) -> None:
    with small_disk(tmp_path / word, megabytes=1) as disk:
        if not disk.mounted:
            pytest.skip("needs the right to mount a file system")
        disk.fill()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "attestations.cli", word, "init", "--id", "party.example", "--home"),
            str(disk.path / "home"),
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        assert process.returncode == ExitCode.SETUP
        assert "the disk is full" in err.decode()
        assert not (disk.path / "home").exists()
