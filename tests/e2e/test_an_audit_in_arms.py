"""A whole audit in arms by its commands: DEV to the lab, its pack back, TEST once an arm, and a stranger's replay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from auditor_client.committing import Draft
from tests.support import suite_files
from tests.support.audit_world import design, suite
from tests.support.real_audit import real_audit

MANIFEST = suite_files.MANIFEST | {
    "arms": [
        {"id": "as_shipped"},
        {
            "id": "auditor_best",
            "shots": ["dev"],
            "thinking": {},
            "choosing": {"by": "majority", "samples": 2},
            "decoding": {"max_output_tokens": 32, "temperature": "0.5"},
        },
        {"id": "lab_pack", "source": "lab_pack"},
        {"id": "sft_dev", "source": "fine_tuned"},
    ]
}


@pytest.mark.slow
async def test_an_audit_in_arms_by_its_commands(tmp_path: Path) -> None:
    """T042, T043's other side: a pack in time is used, a second answer is refused."""
    drafts = [Draft(task.fields, task.question) for task in suite(6).tasks if task.runs]
    audit = real_audit(tmp_path, drafts, design().plan, script={"otherwise": "Answer: pwd"})
    shutil.rmtree(audit.auditor.committed.parent)
    suite_files.write(audit.auditor.path / "suite", manifest=MANIFEST)
    await audit.must("suite", "commit")
    await audit.lab.start()
    await audit.must("propose")

    dev, pack = tmp_path / "dev.jsonl", tmp_path / "pack.dsse.json"
    assert "DEV tasks in plain text: 1" in (await audit.must("dev", "disclose", "--into", str(dev))).out
    code, out, errors = await audit.lab.command("dev", "check", str(dev))
    assert (code, errors, json.loads(out)["kind"]) == (0, "", "dev")
    template = tmp_path / "pack.toml"
    assert (await audit.command("lab", "pack", "new", str(template))).code == 0
    template.write_text(template.read_text().replace("# system =", "system ="))
    code, out, errors = await audit.lab.command("pack", "submit", str(template), "--into", str(pack))
    assert (code, errors) == (0, "")
    code, _, errors = await audit.lab.command("pack", "decline", "--reason", "too late")
    assert (code, "answered the DEV tasks already" in errors) == (80, True)

    waiting = (await audit.must("run")).out
    assert "read it with" in waiting
    assert "sft_dev has no variant" in waiting
    assert "answers with an essay" in (await audit.must("pack", "accept", str(pack))).out
    assert "Next: `safeconduct auditor close`" in (await audit.must("run", "--without", "sft_dev")).out
    code, _, errors = await audit.lab.command("pack", "submit", str(template), "--into", str(pack))
    assert (code, "TEST has begun" in errors) == (80, True)

    await audit.must("close")
    await audit.must("grade")
    await audit.must("seal")
    for stage in ("S1", "S2", "S3", "S4", "S5"):
        await audit.must("release", stage)
    verified = await audit.verify("S5")
    assert verified.code == 0, verified.err
    report = json.loads(verified.out)
    claim = report["claims"]["elicitation"]
    assert claim["labPack"]["status"] == "provided"
    assert [(arm["id"], arm["reason"]) for arm in claim["arms"] if arm["status"] == "notRun"] == [
        ("sft_dev", "given_up")
    ]
    assert report["derivedAssurance"]["elicitation"] == "EL2"
    await audit.lab.stop()
    assert (await audit.lab.command("fsck"))[::2] == (0, "")
