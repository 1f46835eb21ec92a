"""An arm that needs a hook: refused, failed or given up, each said as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from attestations.documents.agreement import FineTuningGrant
from attestations.elicitation.claims import ElicitationClaim
from attestations.errors import HookRefused, RelyingPolicyUnmet, TrainingFailed
from attestations.scaffolds.method import Arm
from attestations.verify.report import Report
from tests.support.arms_audit import ARMS, ArmsAudit
from tests.support.audit_world import World
from tests.support.reports import assert_holds, assert_refused


async def test_a_refused_fine_tune_hook_caps_what_is_claimed(tmp_path: Path) -> None:
    """T079: recorded as refused, sandbagging at most promptOnly, and a reader who requires EL3 is told 61."""
    arms = await tuned(tmp_path)
    arms.audit.lab.refusal = ("HOOK_REFUSED", "fine_tune")
    arms.audit.lab.misbehave("refuse")
    with pytest.raises(HookRefused):
        await arms.ask_to_train()
    assert (await arms.run()).waiting == ()
    assert await dropped(arms) == "hook_refused"
    await arms.finish()

    report = await arms.verify("S5", require=("EL>=3",))
    assert_refused(report, RelyingPolicyUnmet, 61)
    assert [check.reason for check in report.checks if check.reason] == ["RELYING_POLICY_UNMET"]
    assert report.predicate is not None
    assert report.predicate.validity is not None
    assert report.predicate.validity.sandbagging == "promptOnly"
    assert [(hook.hook, hook.status) for hook in claimed(report).hooks] == [("fineTune", "REFUSED")]
    assert report.assurance is not None
    assert report.assurance.elicitation == "EL2"
    await arms.close()


async def test_an_arm_is_called_failed_by_what_the_lab_signed_of_its_hook(tmp_path: Path) -> None:
    arms = await tuned(tmp_path)
    arms.audit.lab.misbehave("model_error")
    with pytest.raises(TrainingFailed):
        await arms.ask_to_train()
    assert any("sft_dev has no variant" in reason for reason in (await arms.run()).waiting)
    assert (await arms.run("sft_dev")).waiting == ()
    assert await dropped(arms) == "hook_failed"
    await arms.finish()
    report = await arms.verify("S5")
    assert_holds(report)
    assert [(hook.hook, hook.status) for hook in claimed(report).hooks] == [("fineTune", "ERROR")]
    await arms.close()


async def test_an_arm_that_is_given_up_is_not_laid_at_the_labs_door(tmp_path: Path) -> None:
    """A refusal of something else, here to answer, is none of the hook."""
    arms = await tuned(tmp_path)
    arms.audit.lab.refusal = ("HOOK_REFUSED", "fine_tune")
    arms.audit.lab.misbehave("refuse")
    with pytest.raises(HookRefused):
        await arms.run()
    assert any("sft_dev has no variant" in reason for reason in (await arms.run()).waiting)
    assert (await arms.run("sft_dev")).waiting == ()
    assert await dropped(arms) == "given_up"
    await arms.finish()
    report = await arms.verify("S5")
    assert_holds(report)
    assert claimed(report).hooks == ()
    assert "The arm sft_dev was registered and not run: given_up." in report.limitations
    await arms.close()


async def tuned(folder: Path) -> ArmsAudit:
    """An audit with the lab's pack and an arm that is to be fine-tuned."""
    world = World(fine_tuning=FineTuningGrant(max_jobs=2, max_train_tokens="1000"))
    arms = await ArmsAudit.at(folder, (*ARMS, Arm(id="sft_dev", source="fine_tuned")), world=world)
    await arms.with_pack()
    return arms


async def dropped(arms: ArmsAudit) -> str | None:
    """Return why `sft_dev` is not run."""
    start = (await arms.course()).start
    assert start is not None
    return start.arms[-1].dropped


def claimed(report: Report) -> ElicitationClaim:
    """Return what a file claims of elicitation."""
    assert report.predicate is not None
    assert report.predicate.elicitation is not None
    return report.predicate.elicitation
