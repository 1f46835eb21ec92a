"""Sandboxes beside the model, over real processes: an auditor's agent through kills, then agentic tasks as evidence."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.agent_suite import ANSWERS, SUITE
from tests.support.forking import Running
from tests.support.inspect_audit import evidence
from tests.support.memory_search import files_under, found_in, memory_of
from tests.support.real_audit import RealAudit
from tests.support.scaffold_audit import scaffolding

KILLS = int(os.environ.get("SAFECONDUCT_SCAFFOLD_KILLS", "4"))
# In the agent's file, in what it asks, in what it is answered, in what it prints and in what it leaves behind, the
# last also as requests and answers carry files.
NEEDLES = ["canary-agent", "canary-answer", "canary-result", "Y2FuYXJ5LXJlc3VsdCBkb25l"]


def running(marker: str) -> list[int]:
    """The processes of this machine that are agents of this test."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if "attestations.cli" not in words and any(marker in word for word in words):
                found.append(process.pid)
    return found


def named(folder: Path, entry: str) -> None:
    """Give the agent's only file another name, by which its processes are found."""
    next(folder.glob("*.py")).rename(folder / entry)
    (folder / "scaffold.toml").write_text(f'entry = ["python3", "{entry}"]\n')


async def strike(audit: RealAudit, runner: Running, victim: str, marker: str) -> None:
    with suppress(AssertionError, ProcessLookupError, FileNotFoundError):  # it was faster
        if victim == "auditor":
            runner.kill()
        elif victim == "worker":
            os.kill(audit.lab.worker_pid(), signal.SIGKILL)
        elif victim == "agent":
            for pid in running(marker):
                os.kill(pid, signal.SIGKILL)
        else:
            await audit.lab.kill()
            await audit.lab.start()


async def struck_run(audit: RealAudit, victim: str, marker: str, chance: random.Random) -> None:
    """Begin a run, kill somebody while the agent works, and see the command end by itself."""
    runner = audit.start("scaffold", "run", str(audit.folder / "agent"), out=False)
    while not running(marker) and runner.returncode is None:  # noqa: ASYNC110 - another process starts it
        await asyncio.sleep(0.05)
    await asyncio.sleep(chance.uniform(0, 0.6))
    await strike(audit, runner, victim, marker)
    _, errors = await runner.communicate()
    assert runner.returncode in (0, 1, 80, 81, 82, -signal.SIGKILL), errors.decode()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_agents_run_through_kills_are_accounted_for_and_leave_nothing(tmp_path: Path) -> None:
    """T074, T086, T087 over hooks. T088: reaching out fails and is counted. T089: a submission is only received."""
    calls, chance = tmp_path / "calls.txt", random.Random(4)
    script = {"answers": ANSWERS, "otherwise": "canary-answer", "stall_seconds": 0.1, "record_calls": str(calls)}
    async with scaffolding(tmp_path, script=script, written=SUITE) as audit:
        audit.lab.fresh = True  # from its first restart on
        agents, folder, out = f"agent-{os.getpid()}-{time.time_ns()}", tmp_path / "agent", tmp_path / "out"
        for number in range(KILLS):
            victim = ("worker", "auditor", "gateway", "agent")[number % 4]
            named(folder, f"{agents}-{number}-.py")
            await struck_run(audit, victim, f"{agents}-{number}-", chance)

        named(folder, "main.py")
        ran = await audit.must("scaffold", "run", str(folder), "--into", str(out), "--fetch", "result.txt")
        assert "3 calls to the model, answered: 3" in ran.out
        assert (out / "stdout.txt").read_text().split() == [x for i in "012" for x in (i, "canary-answer")]
        assert (out / "files/result.txt").read_text() == "canary-result done"
        summary = json.loads((out / "run.json").read_text())
        assert (summary["sandbox"]["state"], summary["sandbox"]["modelCalls"]) == ("CLOSED", 3)
        assert running(agents) == []

        # What was sent and said is nowhere at the gateway, nor on anybody's terminal.
        (audit.lab.path / "script.json").unlink()
        assert set() == found_in(memory_of(audit.lab.pid), NEEDLES)
        assert set() == found_in(files_under(audit.lab.path), NEEDLES)
        assert set() == found_in([audit.auditor.log.read_bytes(), *(text.encode() for text in audit.said)], NEEDLES)
        assert set(NEEDLES) == found_in([*files_under(audit.auditor.path), *files_under(out)], NEEDLES)
        (audit.lab.path / "script.json").write_text(json.dumps(script))

        report = await evidence(audit)
        assert "1 items show signs of cheating: 2 correct as graded, 1 if these count as failed" in "".join(audit.said)
        # The lab allows less memory than these tasks commit to, which whoever reads the figures is told.
        details = [check["detail"] for check in report["checks"] if check["step"] == 12]
        assert any("; 2 sandboxes gave less than their task commits to" in detail for detail in details), details
        # Request and seed name one Promise: a line twice would be a second draw under it.
        assert {1} == set(Counter(calls.read_text().split()).values())
        counts = {name: int(count) for name, count in report["counts"].items()}
        assert counts["promised"] == sum(counts[name] for name in counts if name not in ("promised", "refusals"))
        scaffold, sandbox = report["exploratory"]["scaffold"], report["exploratory"]["sandbox"]
        assert scaffold >= 3
        assert sandbox >= summary["exchanges"] - 3
