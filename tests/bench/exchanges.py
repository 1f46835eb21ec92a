"""A campaign against a real lab: exchanges a second, CPU on each side, latency added to a model call."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from auditor_client import registering
from auditor_client.app import auditor
from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit


class Measured(NamedTuple):
    """One campaign; times in seconds, CPU in seconds for each exchange."""

    exchanges: int
    wall: float
    gateway_cpu: float
    worker_cpu: float
    auditor_cpu: float

    @property
    def rate(self) -> float:
        """Exchanges a second."""
        return self.exchanges / self.wall


async def campaign(folder: Path, *, items: int, lanes: int, stall: float = 0.0) -> Measured:
    """Run a whole campaign with durable storage on both sides, mutual TLS and a scripted model."""
    drafts = [Draft(task.fields, task.question) for task in suite(items - 1, size=items).tasks]
    script = {"otherwise": "yes", "stall_seconds": stall}
    audit = real_audit(folder, drafts, design().plan, script=script, lanes=lanes)
    await audit.lab.start()
    try:
        assert (await audit.run("propose")).code == 0
        return await _measured(audit, items, lanes)
    finally:
        await audit.lab.stop()


async def _measured(audit: RealAudit, items: int, lanes: int) -> Measured:
    gateway, worker = psutil.Process(audit.lab.pid), psutil.Process(audit.lab.worker_pid())
    async with auditor(audit.auditor.path) as us:
        engagement = us.engagement()
        await registering.register(
            us.suite(),
            us.design(),
            key=us.suite_key(),
            engagement=engagement,
            lab=us.lab,
            journal=us.journal,
            clock=us.clock,
        )
        mirror = us.mirror()
        before = [_cpu(gateway), _cpu(worker), time.process_time()]
        started = time.perf_counter()
        progress = await us.campaign(engagement, mirror).run(lanes=lanes, on_progress=lambda _: None)
        wall = time.perf_counter() - started
        after = [_cpu(gateway), _cpu(worker), time.process_time()]
        mirror.close()
    assert items == progress.done
    spent = [(late - early) / items for early, late in zip(before, after, strict=True)]
    return Measured(items, wall, *spent)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run(folder: Path, *, items: int, lanes: int, stall: float = 0.0) -> Measured:
    """Run a campaign in its own event loop."""
    return asyncio.run(campaign(folder, items=items, lanes=lanes, stall=stall))
