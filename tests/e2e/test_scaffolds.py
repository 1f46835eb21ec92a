"""An auditor's agent beside the model: sent, run, answered, fetched, accounted for, and gone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.inspect_audit import evidence
from tests.support.scaffold_audit import scaffolding


async def test_an_agent_runs_beside_the_model_and_every_call_is_in_the_evidence(tmp_path: Path) -> None:
    async with scaffolding(tmp_path) as audit:
        out = tmp_path / "out"
        agent = (str(tmp_path / "agent"), "--entry", "main.py")
        ran = await audit.must("scaffold", "run", *agent, "--into", str(out), "--fetch", "result.txt")
        assert "3 calls to the model, 3 answered" in ran.out
        assert (out / "stdout.txt").read_text().split() == ["0", "yes", "1", "yes", "2", "yes"]
        assert (out / "files/result.txt").read_text() == "canary-result done"
        summary = json.loads((out / "run.json").read_text())
        assert summary["sandbox"]["state"] == "CLOSED"
        assert summary["sandbox"]["modelCalls"] == 3

        report = await evidence(audit)
        assert report["exploratory"]["scaffold"] == 3
        assert report["exploratory"]["sandbox"] == summary["exchanges"] - 3
