"""Verifying audits of growing size as a regulator does: seconds and peak memory of the command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from attestations.commitments import padded_size
from tests.support import world_agreement, world_suite
from tests.support.world import World

TASKS = 100


class Verified(NamedTuple):
    """One run; memory is the peak resident size in MiB."""

    exchanges: int
    file_mib: float
    seconds: float
    peak_mib: float


def evidence(folder: Path, exchanges: int) -> Path:
    """Write an S1 evidence file of about `exchanges` exchanges, anew: one that an older checkout made may not hold."""
    tasks = world_suite.make_tasks(TASKS, size=padded_size(TASKS))
    asked = sum(task.kind in world_suite.ANSWERED for task in tasks)
    world = World(tasks=tasks, epochs=max(1, exchanges // asked), forgetful=True)
    world.build()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"evidence-{exchanges}.zip"
    path.write_bytes(world.evidence("S1"))
    return path


def verify(folder: Path, exchanges: int) -> Verified:
    """Verify the file that `evidence` wrote in a process of its own."""
    path = folder / f"evidence-{exchanges}.zip"
    trust = folder / "trust.json"
    trust.write_text(json.dumps(world_agreement.trust().json_value()))
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "attestations.cli", "verify", str(path), "--trust", str(trust), "--json"],
        stdout=subprocess.PIPE,
    )
    peak = 0
    report = b""
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    assert process.stdout is not None
    report = process.stdout.read()
    seconds = time.perf_counter() - started
    counts = json.loads(report)
    assert counts["exitCode"] == 0, [check for check in counts["checks"] if check["status"] == "fail"]
    return Verified(int(counts["counts"]["promised"]), path.stat().st_size / 2**20, seconds, peak / 2**20)
