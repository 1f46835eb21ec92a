"""A whole audit in which the items are drawn, as two people and a regulator run it: real processes, real TLS."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from attestations.errors import ExitCode
from auditor_client.committing import Draft
from tests.support.audit_world import design, suite
from tests.support.real_audit import real_audit


@pytest.mark.slow
async def test_an_audit_of_drawn_items_by_its_commands(tmp_path: Path) -> None:
    """T040, T041, the honest side: `suite commit --draw`, then every stage verifies."""
    drafts = [Draft(task.fields, task.question) for task in suite(6).tasks if task.runs]
    audit = real_audit(tmp_path, drafts, design().plan, script={"otherwise": "a pipe"})
    shutil.rmtree(audit.auditor.committed.parent)  # this suite is committed by its command
    await audit.must("suite", "new")
    many = await audit.run("suite", "commit", "--draw", "99")
    assert (many.code, "scored tasks to draw from" in many.err) == (ExitCode.USAGE, True)
    said = (await audit.must("suite", "commit", "--draw", "2")).out
    assert "2 of " in said
    await audit.lab.start()
    await audit.must("propose")
    await audit.must("run")
    await audit.must("close")
    await audit.must("grade")
    await audit.must("seal")
    details = ""
    for stage in ("S1", "S2", "S3", "S4", "S5"):
        await audit.must("release", stage)
        verified = await audit.verify(stage)
        assert verified.code == 0, verified.out
        details = " ".join(check["detail"] for check in json.loads(verified.out)["checks"])
    assert "scored ones were drawn, not chosen" in details
    await audit.lab.stop()
    assert (await audit.lab.command("fsck"))[::2] == (0, "")
