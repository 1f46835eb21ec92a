"""An audit whose folder Inspect asks from: a real lab with a scripted model, an agreement, a small committed suite."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.real_audit import RealAudit, real_audit

SUITE_PROMPTS = tuple(f"canary-prompt-{i}" for i in range(8))


@asynccontextmanager
async def agreed(folder: Path, script: Mapping[str, Any] | None = None, **settings: Any) -> AsyncIterator[RealAudit]:
    """Give an audit with an agreement in force; the lab serves until the end."""
    drafts = [Draft(task.fields, task.question) for task in suite().tasks]
    audit = real_audit(folder, drafts, design().plan, script=dict(script or {"otherwise": "yes"}), **settings)
    await audit.lab.start()
    try:
        await audit.must("propose")
        yield audit
    finally:
        await audit.lab.stop()


async def evidence(audit: RealAudit, stage: str = "S5") -> dict[str, Any]:
    """Bring an audit to its end and return how its evidence of a stage verifies."""
    for words in (("run",), ("close",), ("grade",), ("seal",)):
        await audit.must(*words)
    for name in ("S1", "S2", "S3", "S4", "S5"):
        await audit.must("release", name)
    verified = await audit.verify(stage)
    assert verified.code == 0, verified.out + verified.err
    report: dict[str, Any] = json.loads(verified.out)
    return report
