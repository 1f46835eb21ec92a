"""An auditor's agent beside the model: sent, run, answered, fetched, accounted for, and gone."""

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

from tests.support.inspect_audit import evidence
from tests.support.memory_search import files_under, found_in, memory_of
from tests.support.real_audit import RealAudit
from tests.support.scaffold_audit import scaffolding

KILLS = int(os.environ.get("SAFECONDUCT_SCAFFOLD_KILLS", "6"))
# In the agent's file, in what it asks, in what it is answered, in what it prints and in what it leaves behind, the
# last also as requests and answers carry files.
NEEDLES = ["canary-agent", "canary-answer", "canary-result", "Y2FuYXJ5LXJlc3VsdCBkb25l"]


async def test_an_agent_runs_beside_the_model_and_every_call_is_in_the_evidence(tmp_path: Path) -> None:
    async with scaffolding(tmp_path, script={"otherwise": "canary-answer"}) as audit:
        out = tmp_path / "out"
        agent = (str(tmp_path / "agent"), "--entry", "main.py")
        ran = await audit.must("scaffold", "run", *agent, "--into", str(out), "--fetch", "result.txt")
        assert "3 calls to the model, 3 answered" in ran.out
        assert (out / "stdout.txt").read_text().split() == [x for i in "012" for x in (i, "canary-answer")]
        assert (out / "files/result.txt").read_text() == "canary-result done"
        summary = json.loads((out / "run.json").read_text())
        assert (summary["sandbox"]["state"], summary["sandbox"]["modelCalls"]) == ("CLOSED", 3)

        # T086, T087 over hooks: what was sent and said is nowhere at the gateway, nor on anybody's terminal.
        (audit.lab.path / "script.json").unlink()
        assert set() == found_in(memory_of(audit.lab.pid), NEEDLES)
        assert set() == found_in(files_under(audit.lab.path), NEEDLES)
        assert set() == found_in([audit.auditor.log.read_bytes(), *(text.encode() for text in audit.said)], NEEDLES)
        assert set(NEEDLES) == found_in([*files_under(audit.auditor.path), *files_under(out)], NEEDLES)

        (audit.lab.path / "script.json").write_text(json.dumps({"otherwise": "yes"}))
        report = await evidence(audit)
        assert report["exploratory"]["scaffold"] == 3
        assert report["exploratory"]["sandbox"] == summary["exchanges"] - 3


def running(marker: str) -> list[int]:
    """The processes of this machine whose arguments name the agent of this test."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.exe() and "attestations.cli" not in process.cmdline() and marker in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


async def kill_somebody(
    audit: RealAudit, runner: asyncio.subprocess.Process, marker: str, chance: random.Random
) -> str:
    victim = chance.choice(("gateway", "worker", "auditor", "agent"))
    with suppress(AssertionError, ProcessLookupError, FileNotFoundError):
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
    return victim


@pytest.mark.slow
async def test_kills_during_a_run_leave_no_process_no_file_and_exact_budgets(tmp_path: Path) -> None:
    calls, chance, killed = tmp_path / "calls.txt", random.Random(4), Counter[str]()
    script = {"otherwise": "canary-answer", "stall_seconds": 0.1, "record_calls": str(calls)}
    async with scaffolding(tmp_path, script=script) as audit:
        marker = f"agent-{os.getpid()}-{time.time_ns()}.py"
        (tmp_path / "agent" / "main.py").rename(tmp_path / "agent" / marker)
        (tmp_path / "agent" / "scaffold.toml").write_text(f'entry = ["python3", "{marker}"]\n[env]\nCALLS = "8"\n')
        words = audit.auditor_words("scaffold", "run", str(tmp_path / "agent"))
        while killed.total() < KILLS:
            runner = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    while not running(marker) and runner.returncode is None:  # noqa: ASYNC110 - another process starts
                        await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0, 0.6))
            killed[await kill_somebody(audit, runner, marker, chance)] += 1
            _, errors = await asyncio.wait_for(runner.communicate(), 60)
            assert runner.returncode in (0, 1, 80, 81, 82, -signal.SIGKILL), errors.decode()

        ran = await audit.must("scaffold", "run", str(tmp_path / "agent"))
        assert "8 calls to the model, 8 answered" in ran.out
        async with asyncio.timeout(10):
            while running(marker):  # noqa: ASYNC110 - other processes end
                await asyncio.sleep(0.1)
        (audit.lab.path / "script.json").unlink()
        assert set() == found_in(files_under(audit.lab.path), NEEDLES)
        (audit.lab.path / "script.json").write_text(json.dumps({"otherwise": "yes"}))

        report = await evidence(audit, "S1")
        counts = {name: int(count) for name, count in report["counts"].items()}
        assert counts["promised"] == sum(counts[name] for name in counts if name not in ("promised", "refusals"))
        # Request and seed name one Promise: a line twice would be a second draw under it.
        assert {1} == set(Counter(calls.read_text().split()).values())
        print(f"kills {dict(killed)}; {counts}")
