"""Formats: the arms that a figure over formats is of, and that what they lay out can be laid out."""

from __future__ import annotations

from attestations.documents.engagement import PreRegistration
from attestations.documents.planning import AnalysisPlan
from attestations.errors import ArmNotFollowed, PreRegistrationAltered
from attestations.scaffolds.formatted import AskedArm, format_faults
from attestations.scaffolds.method import AS_SHIPPED, Arm
from attestations.scaffolds.task import task_of
from attestations.verify.opened import Content
from attestations.verify.schedule import DEV, RUN_KINDS, SCORED


def check_formats(plan: AnalysisPlan, registration: PreRegistration) -> None:
    """Check that the plan's `formats` are different arms that ask the same of the same model, and all of them ran.

    Raises:
        PreRegistrationAltered: they are not, or an arm asks in another format than its name says.
    """
    variants = {arm.id: arm.variant for arm in registration.conduct or ()}
    asked = [
        AskedArm(arm, variants.get(arm.id), registration.epochs_of(arm.id))
        for arm in plan.arms or (Arm(id=AS_SHIPPED),)
        if arm.id in registration.arms
    ]
    for name, fault in format_faults(plan.formats, asked):
        raise PreRegistrationAltered(f"an arm {fault}", arm=name)


def check_laid_out(content: Content, plan: AnalysisPlan) -> None:
    """Check that whatever counts, and every DEV task, is a choice where an arm of the auditor's has a format.

    Else a figure over formats could be kept still by tasks that have none.

    Raises:
        ArmNotFollowed: such a task is asked as committed, whatever the arm's format is.
    """
    arm = next((arm for arm in plan.arms or () if arm.method.format is not None), None)
    if arm is None:
        return
    for number, kind in enumerate(content.tasks.kinds):
        if kind != DEV and RUN_KINDS.get(kind) != SCORED:
            continue
        if not task_of(content.tasks.fields("C5", number).get("prompt")).lettered:
            raise ArmNotFollowed("a task cannot be asked in its arm's format", task=str(number), arm=arm.id)
