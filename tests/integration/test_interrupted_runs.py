"""`run` through a broken network, a lab that restarts and Ctrl-C: it goes on, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.bad_network import BadNetwork, bad_network
from tests.support.real_audit import RealAudit, free_port, real_audit

ITEMS = 60  # so many that an interruption half-way never meets a run that has just ended


@asynccontextmanager
async def an_audit(folder: Path, *, stall: float = 0.15) -> AsyncIterator[tuple[RealAudit, BadNetwork]]:
    drafts = [Draft(task.fields, task.question) for task in suite(ITEMS, size=ITEMS + 1).tasks]
    script = {"otherwise": "yes", "stall_seconds": stall, "record_calls": str(folder / "calls.txt")}
    async with bad_network(free_port()) as network:
        audit = real_audit(folder, drafts, design().plan, script=script, lanes=4, max_attempts=20, proxy=network.port)
        audit.auditor.settings.write_text(audit.auditor.settings.read_text() + "answer_seconds = 2\n")
        network.target = int(audit.lab.address.rpartition(":")[2])
        await audit.lab.start()
        await audit.must("propose")
        yield audit, network
        closed = await audit.must("close")  # both sides sign what took place
        executed = Counter((folder / "calls.txt").read_text().split())
        assert {1} == set(executed.values())  # request and seed name one Promise
        assert f" {ITEMS + 1} answered, 0 refused" in closed.out
        assert len(executed) <= int(closed.out.split()[1])
        await audit.lab.stop()
        assert (await audit.lab.command("fsck"))[::2] == (0, "")


async def until(audit: RealAudit, count: int) -> None:
    """Wait until so many answers are held."""
    for _ in range(800):
        if answered(audit) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"only {answered(audit)} answers")


def answered(audit: RealAudit) -> int:
    try:
        with closing(sqlite3.connect(f"file:{audit.auditor.journal}?mode=ro", uri=True)) as journal:
            return int(journal.execute("SELECT count(*) FROM items WHERE state = 'DONE'").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.slow
async def test_a_broken_network_and_a_restarted_lab_are_ridden_out(tmp_path: Path) -> None:
    async with an_audit(tmp_path) as (audit, network):
        process = audit.start("run")
        await until(audit, 3)
        network.cut()
        await until(audit, 6)
        network.half_close()
        await until(audit, 9)
        network.flowing.clear()  # silence, longer than anyone's patience for one answer
        await asyncio.sleep(2.5)
        network.flowing.set()
        await until(audit, 13)
        network.refusing = True
        network.cut()
        await audit.lab.stop()
        await audit.lab.start()
        network.refusing = False
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        assert f"{ITEMS + 1} of {ITEMS + 1} answered" in out.decode()
        assert network.connections > 4


@pytest.mark.slow
async def test_ctrl_c_is_one_sentence_and_the_next_run_goes_on(tmp_path: Path) -> None:
    # Slow answers, or on a busy machine the run ends before it is interrupted.
    async with an_audit(tmp_path, stall=1.0) as (audit, _):
        for count in (4, 12):
            process = audit.start("run")
            await until(audit, count)
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == ExitCode.INTERRUPTED
            said = [line for line in err.decode().splitlines() if line.startswith("safeconduct")]
            assert said == ["safeconduct: interrupted; run the same command again to continue"]
            assert "Traceback" not in err.decode()
        with audit.auditor.alone():  # as another command does
            second = await audit.run("run")
            assert second.code == ExitCode.SETUP
            assert "another command works in" in second.err
            assert (await audit.run("status")).code == 0
        await audit.must("run")
