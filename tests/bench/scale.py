"""A whole audit by its commands at two sizes: what each command takes, and how its memory grows with the items."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import psutil

from auditor_client.committing import Draft
from tests.bench.commands import Figures, command
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit

LANES = 8
_AFTER = (("close",), ("grade",), ("seal",), ("release", "S1"), *(("release", f"S{stage}") for stage in range(2, 6)))


class Scaled(NamedTuple):
    """One size: every command in order, and the most memory of the two processes of the lab in MiB."""

    commands: list[Figures]
    gateway_mib: float
    worker_mib: float


def run(folder: Path, items: int) -> Scaled:
    """Run a suite of so many items against a scripted model, from its proposal to its report."""
    drafts = [Draft(task.fields, task.question) for task in suite(items - 1, size=items).tasks]
    plan = design().plan.model_copy(update={"scored_tasks": items - 1})
    audit = real_audit(folder, drafts, plan, script={"otherwise": "yes"}, lanes=LANES)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(audit.lab.start())
    try:
        return _commands(folder, audit)
    finally:
        loop.run_until_complete(audit.lab.stop())
        loop.close()


def _commands(folder: Path, audit: RealAudit) -> Scaled:
    home, trust, page = str(audit.auditor.path), "trust.json", "report.html"
    found = [command(folder, "auditor", *words, "--home", home) for words in (("propose",), ("run",), *_AFTER)]
    lab = [_peak(pid) for pid in (audit.lab.pid, audit.lab.worker_pid())]
    evidence = str(audit.auditor.evidence / "evidence-S5.zip")
    command(folder, "trust", str(audit.auditor.identity), str(audit.lab.home.identity), "--out", trust)
    found.append(command(folder, "verify", evidence, "--trust", trust))
    found.append(command(folder, "auditor", "report", evidence, "--trust", trust, "--into", page))
    return Scaled(found, *lab)


def _peak(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss / 2**20)
