"""SIGKILL at random points of gateway, worker and auditor over a campaign: nothing is lost, nothing is asked twice.

60 kills; SAFECONDUCT_KILLS=200 runs as many as the project promises, which takes longer than a test suite should.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.forking import Running
from tests.support.real_audit import RealAudit, real_audit

KILLS = int(os.environ.get("SAFECONDUCT_KILLS", "60"))
ITEMS_PER_KILL = 6
STALL = 0.4  # seconds a model call takes, so that most kills meet several under way
SEED = 20261124


async def moment(runner: Running, calls: Path, chance: random.Random) -> bool:
    """Wait for a moment to kill at: mostly while the model answers, sometimes any other; False if the run has ended."""

    async def wait() -> None:
        if chance.random() < 0.8:
            before = asked(calls)
            while asked(calls) == before:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0.0, STALL))

    waiting, ended = asyncio.create_task(wait()), asyncio.create_task(runner.wait())
    await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    ended.cancel()
    return runner.returncode is None


def asked(calls: Path) -> int:
    return calls.stat().st_size if calls.exists() else 0


async def kill_at_random(audit: RealAudit, calls: Path, chance: random.Random) -> Counter[str]:
    """Run the campaign to its end through every kill; return how often each process was killed."""
    killed: Counter[str] = Counter()
    while True:
        runner = audit.start("run", out=False)
        while runner.returncode is None and killed.total() < KILLS:
            if not await moment(runner, calls, chance):
                break
            victim = chance.choice(("gateway", "worker", "auditor"))
            if victim == "auditor":
                runner.kill()
                await runner.wait()
            elif victim == "worker":
                with suppress(AssertionError, ProcessLookupError, FileNotFoundError):
                    os.kill(audit.lab.worker_pid(), signal.SIGKILL)
            else:
                await audit.lab.kill()
                await audit.lab.start()
            killed[victim] += 1
        _, errors = await runner.communicate()
        if runner.returncode == 0:
            return killed
        assert runner.returncode in (-signal.SIGKILL, 82), errors.decode()


@pytest.mark.slow
@pytest.mark.timeout(60 + 4 * KILLS)
async def test_kills_at_random_points_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """T074."""
    items = ITEMS_PER_KILL * KILLS
    calls = tmp_path / "calls.txt"
    drafts = [Draft(task.fields, task.question) for task in suite(items, size=items + 1).tasks]
    script = {"otherwise": "yes", "stall_seconds": STALL, "record_calls": str(calls)}
    audit = real_audit(tmp_path, drafts, design().plan, script=script, lanes=8, max_attempts=60)
    await audit.lab.start()
    await audit.must("propose")

    killed = await kill_at_random(audit, calls, random.Random(SEED))

    assert killed.total() == KILLS, killed
    # Request and seed name one Promise: a line twice would be a second draw under it.
    executed = Counter(calls.read_text().split())
    assert {1} == set(executed.values())
    await audit.must("close")
    await audit.must("grade")
    await audit.must("seal")
    await audit.must("release", "S1")
    verified = await audit.verify("S1")
    assert verified.code == 0, verified.out
    await audit.lab.stop()
    code, out, errors = await audit.lab.command("fsck")
    assert (code, errors) == (0, ""), out

    counts = json.loads(verified.out)["counts"]
    promised = int(counts["promised"])
    assert promised == sum(int(counts[name]) for name in counts if name not in ("promised", "refusals"))
    assert items + 1 == int(counts["COMPLETED"])
    assert int(counts["ABORTED_CRASH"]) > KILLS  # or the kills met nothing under way, and this shows nothing
    assert acknowledged(audit) <= logged(audit)
    print(f"kills {dict(killed)}; {promised} promises, {counts['ABORTED_CRASH']} aborted, {len(executed)} executions")


def acknowledged(audit: RealAudit) -> set[str]:
    """Return the digests of every Record the auditor holds."""
    with sqlite3.connect(audit.auditor.journal) as journal:
        rows = journal.execute("SELECT document FROM exchanges WHERE promise IS NOT NULL AND document IS NOT NULL")
        return {bytes(row[0]).decode() for row in rows}


def logged(audit: RealAudit) -> set[str]:
    """Return every Record in the lab's log, as envelopes."""
    found = set()
    with sqlite3.connect(audit.lab.home.store) as store:
        for (data,) in store.execute("SELECT data FROM leaf WHERE kind = 'record'"):
            envelope = json.dumps(json.loads(data)["docs"][-1], sort_keys=True, separators=(",", ":"))
            assert envelope not in found
            found.add(envelope)
    return found
