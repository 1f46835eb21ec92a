"""Formats: the arms that a figure over formats is of, and that what they lay out can be laid out."""

from __future__ import annotations

from attestations.documents.engagement import AnalysisPlan, PreRegistration
from attestations.errors import ArmNotFollowed, PreRegistrationAltered
from attestations.scaffolds.task import task_of
from attestations.verify.opened import Content
from attestations.verify.schedule import DEV, RUN_KINDS, SCORED


def check_formats(plan: AnalysisPlan, registration: PreRegistration) -> None:
    """Check that the plan's `formats` are different arms that ask the same of the same model, and all of them ran.

    A registered arm cannot be dropped, so that no figure over formats is of fewer than were planned.

    Raises:
        PreRegistrationAltered: they are not, or an arm asks in another format than its name says.
    """
    planned, conduct = {arm.id: arm for arm in plan.arms or ()}, {arm.id: arm for arm in registration.conduct or ()}
    for arm in planned.values():
        if arm.misnamed:
            raise PreRegistrationAltered("an arm asks in another format than its name says", arm=arm.id)
    for name in plan.formats:
        if name not in registration.arms:
            raise PreRegistrationAltered("a figure is over a format in which nothing was to be asked", arm=name)
        if name in planned and planned[name].source != "registered":
            raise PreRegistrationAltered("a figure is over a format that need not be asked", arm=name)
    methods = [planned[name].method for name in plan.formats if name in planned]
    if len(set(plan.formats)) != len(plan.formats) or any(item in methods[:at] for at, item in enumerate(methods)):
        raise PreRegistrationAltered("a figure over formats counts one of them twice", field="formats")
    alike = {(registration.epochs_of(name), conduct[name].variant) for name in plan.formats if name in conduct}
    if len(alike) > 1:
        raise PreRegistrationAltered("a figure is over formats of different models or epochs", field="formats")


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
