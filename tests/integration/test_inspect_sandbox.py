"""Inspect's tools in the lab's sandbox: its own checks of a provider, then a task as it is that ends in evidence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai import Task, eval_async
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log_async
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState
from inspect_ai.tool import bash, python
from inspect_ai.util import OutputLimitExceededError, SandboxUserUnsupportedError, sandbox
from inspect_ai.util._sandbox import self_check

from attestations.digests import sha256
from auditor_client.integrations.inspect import folders
from auditor_client.integrations.inspect.sandbox import SafeconductSandbox
from tests.support.inspect_audit import evidence
from tests.support.real_audit import RealAudit
from tests.support.scaffold_audit import scaffolding

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
# What no box at a lab can hold, by what is raised instead.
CANNOT = {
    "test_exec_as_user": SandboxUserUnsupportedError,  # a box has one user, and no root who could add another
    "test_exec_large_command": OutputLimitExceededError,  # it prints 1 MiB, and an exchange carries 160 KiB
}
# Each holds with 400 exchanges and more (50 MiB in parts of 128 KiB): a minute, for those who ask for it.
LARGE = {"test_exec_input_large", "test_read_and_write_large_file_binary"}
SLOW = {"test_exec_timeout", "test_exec_timeout_kills_process", "test_exec_timeout_kills_child_processes"}
SCRIPT = {
    "calls": {
        "canary-alpha": {"name": "bash", "arguments": {"command": "cat data.txt more/setup.txt; touch /tmp/seen"}},
        "canary-beta": {"name": "bash", "arguments": {"command": "sleep 0.3; ls /tmp; cat data.txt more/setup.txt"}},
        "canary-slow": {"name": "bash", "arguments": {"command": "sleep 50 & sleep 50"}},
        "alpha\nbox\n": {"name": "python", "arguments": {"code": "print(open('data.txt').read().strip() * 2)"}},
        "beta\nbox\n": {"name": "python", "arguments": {"code": "print(len(open('data.txt').read()))"}},
        "alphaalpha\n": {"name": "submit", "arguments": {"answer": "alphaalpha"}},
        "5\n": {"name": "submit", "arguments": {"answer": "5"}},
    },
    "otherwise": "yes",
}


async def test_a_task_as_it_is_works_in_the_labs_boxes_and_ends_in_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    async with scaffolding(tmp_path, script=SCRIPT, grant="tools = true\n", lanes=8) as audit:
        asked = await check(audit, monkeypatch)
        assert boxes_of(audit) == []

        log = await evaluated(audit, agent_task(), max_samples=2)
        assert log.results is not None
        assert log.results.scores[0].metrics["accuracy"].value == 1
        opened: list[Any] = [
            event.data for sample in log.samples or [] for event in sample.events if event.event == "info"
        ]
        assert len({box["session"] for box in opened}) == 2
        assert {"OPEN"} == {box["sandbox"]["state"] for box in opened}

        late = await evaluated(audit, slow_task())
        assert [sample.limit.type for sample in late.samples or [] if sample.limit] == ["time"]
        assert boxes_of(audit) == []

        report = await evidence(audit)
        assert report["exploratory"]["sandbox"] > asked
        assert report["exploratory"]["inspect"] == 7
        written = (audit.auditor.path / "auditor.log").read_bytes() + "".join(audit.said).encode()
        assert b"canary-alpha" not in written
        assert b"more/setup.txt" not in written


async def check(audit: RealAudit, monkeypatch: pytest.MonkeyPatch) -> int:
    """Hold the provider to Inspect's own checks, in boxes that work beside each other; return what was asked."""

    async def shortly(_seconds: float) -> None:
        await asyncio.sleep(0.3)  # what Inspect grants providers to end a program; ours answers once it is ended

    monkeypatch.setattr(self_check, "anyio", SimpleNamespace(sleep=shortly))
    left_out = set() if os.environ.get("SAFECONDUCT_SELF_CHECK") == "all" else LARGE
    quick = [name for name in self_check.__all__ if name not in SLOW | left_out]
    boxes = await folders.BOXES.open(audit.auditor.path)
    counts: list[int] = []

    async def checked(names: Sequence[str]) -> dict[str, str]:
        box = await boxes.open(variant="rehearsed", tier="process")
        env = SafeconductSandbox(boxes, box, most_seconds=30)
        failed: dict[str, str] = {}
        for name in names:
            try:
                if name in CANNOT:
                    with pytest.raises(CANNOT[name]):
                        await getattr(self_check, name)(env)
                else:
                    await getattr(self_check, name)(env)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - all that fail are told together
                failed[name] = repr(error)
        if "test_exec_output" in names:
            await beyond_the_checks(env)
        counts.append(box.remote.exchanges)
        return failed

    found = await asyncio.gather(*(checked(names) for names in (quick, *([name] for name in SLOW))))
    await folders.BOXES.close()
    assert {name: why for each in found for name, why in each.items()} == {}
    assert len(quick) + len(SLOW) == len(self_check.__all__) - len(left_out) > 30
    return sum(counts)


async def beyond_the_checks(env: SafeconductSandbox) -> None:
    """What Inspect's checks do not look at, or only with tools that a box does not have (`ps`)."""
    words = ["x" * 65536] * 4
    counted = await env.exec(["sh", "-c", 'echo "$#"; wc -c', "sh", *words], input=b"y" * 300_000)
    assert counted.stdout.split() == ["4", "300000"]  # more than an exchange carries, both ways
    with pytest.raises(TimeoutError):
        await env.exec(["python3", "-c", "import os, time; os.fork(); time.sleep(9)"], timeout=1)
    running = await env.exec(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
    assert "time.sleep" not in running.stdout
    assert (await env.exec(["no-such-program"], cwd="/tmp")).returncode == 127
    assert (await env.exec(["true"], cwd="/nowhere")).returncode == 127
    assert (await env.exec(["printf", "\ud800"])).returncode == 126
    data = os.urandom(200_000)
    await env.write_file("/tmp/deep/er/ü and x", data)
    assert sha256(data) == sha256(await env.read_file("/tmp/deep/er/ü and x", text=False))
    assert (await env.exec(["ls", "-A", "/tmp"])).stdout == "deep\n"


@scorer(metrics=[accuracy()])
def doubled() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        seen = await sandbox().read_file("data.txt")
        return Score(value="C" if seen.startswith(target.text) and state.output.completion != "yes" else "I")

    return score


def agent_task() -> Task:
    """Two samples with files, a setup script, two tools, and a scorer that looks into the box."""
    names = ("alpha", "beta")
    samples = [
        Sample(
            input=f"canary-{name}",
            target=name,
            files={"data.txt": f"{name}\n"},
            setup="mkdir more; echo box > more/setup.txt",
        )
        for name in names
    ]
    return Task(samples, solver=react(tools=[bash(timeout=20), python(timeout=20)]), scorer=doubled())


def slow_task() -> Task:
    """A sample that is over while a command of it runs."""
    return Task([Sample(input="canary-slow")], solver=react(tools=[bash(timeout=2)]), time_limit=1)


async def evaluated(audit: RealAudit, task: Task, **settings: Any) -> EvalLog:
    """Evaluate a task as `inspect eval --sandbox safeconduct` does, and read its log."""
    [log] = await eval_async(
        task,
        model="safeconduct/rehearsed",
        model_args={"home": str(audit.auditor.path)},
        sandbox="safeconduct",
        log_dir=str(audit.folder / "logs"),
        max_tokens=64,
        **settings,
    )
    assert log.status == "success", log.error
    return await read_eval_log_async(log.location)


def boxes_of(audit: RealAudit) -> list[int]:
    """Return the processes that the lab's worker has started and that still run."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(audit.lab.worker_pid()).children(recursive=True)
        return [child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return []
