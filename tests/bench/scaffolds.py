"""What a scaffold pays: a program run by an exchange, and a call to the model that goes through the auditor."""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from attestations.documents.hooks import SandboxLimits
from attestations.documents.sandboxing import Exec, Open, SandboxRequest
from lab_server.hook_port import HookPlace
from lab_server.hook_settings import HooksSettings, SandboxHookSettings
from lab_server.worker.hooking import make_hooks
from tests.support.scaffold_audit import scaffolding

CALLS = 40
AGENT = """
import json, os, time, urllib.request
body = json.dumps({"model": os.environ["OPENAI_MODEL"], "messages": [{"role": "user", "content": "go"}]}).encode()
times = []
for _ in range(%d):
    started = time.perf_counter()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)
    urllib.request.urlopen(request).read()
    times.append(time.perf_counter() - started)
print("MEDIAN", sorted(times)[len(times) // 2])
"""


class Taken(NamedTuple):
    """Seconds, medians."""

    exec_in_worker: float
    model_call: float


def measure() -> Taken | None:
    """Measure, or return None where this machine cannot isolate."""
    try:
        return asyncio.run(_measure())
    except pytest.skip.Exception:
        return None


async def _measure() -> Taken:
    return Taken(await _execs(), await _calls())


async def _execs() -> float:
    hooks = await make_hooks(HooksSettings(sandbox=SandboxHookSettings(state="on", degraded=True)))
    if "sandbox" in hooks.declined:
        pytest.skip(hooks.declined["sandbox"])
    hook, place, times = hooks.handlers["sandbox"], HookPlace("aa" * 32, "lane", 0, "rehearsed", "00" * 32, 0, 0), []
    try:
        await hook.answer(SandboxRequest(action=Open(limits=SandboxLimits())), place, deadline_seconds=30)
        for _ in range(CALLS):
            started = time.perf_counter()
            await hook.answer(SandboxRequest(action=Exec(argv=("true",))), place, deadline_seconds=30)
            times.append(time.perf_counter() - started)
    finally:
        await hook.close()
    return statistics.median(times)


async def _calls() -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with scaffolding(Path(folder)) as audit:
            (audit.folder / "agent/main.py").write_text(AGENT % CALLS)
            into = audit.folder / "out"
            await audit.must("scaffold", "run", str(audit.folder / "agent"), "--entry", "main.py", "--into", str(into))
            found = re.search(r"MEDIAN ([0-9.]+)", (into / "stdout.txt").read_text())
            if found is None:
                raise RuntimeError("the agent measured nothing")
            return float(found[1])
