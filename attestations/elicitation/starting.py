"""Whether TEST may begin as the auditor says: with the registered arms, or without one for a reason the log shows."""

from __future__ import annotations

from attestations.documents.agreement import Agreement
from attestations.documents.elicitation import RunStart
from attestations.documents.engagement import PreRegistration
from attestations.elicitation.course import Course
from attestations.elicitation.hooks import HooksSoFar
from attestations.errors import AnalysisDeviationUndeclared

_PACK_REASONS = {
    "pack_declined": ("declined",),
    "pack_missing": ("notProvided", "notAsked"),
    "pack_broken": ("provided",),
}


def check_start(
    start: RunStart, registration: PreRegistration, course: Course, *, hooks: HooksSoFar, agreement: Agreement
) -> None:
    """Check that TEST begins with the registered arms, and that each one that is dropped has a reason in the log.

    Args:
        start: what was stated.
        registration: what was registered.
        course: what the log said of elicitation, the start included.
        hooks: what the lab has signed of its hooks.
        agreement: the agreement in force.

    Raises:
        AnalysisDeviationUndeclared: anything else; the facts name the arm.
    """
    registered = {arm.id: arm for arm in registration.conduct or ()}
    if tuple(arm.id for arm in start.arms) != registration.arms:
        raise AnalysisDeviationUndeclared("TEST begins with other arms than were registered")
    for arm in start.arms:
        named, reason = registered[arm.id].variant, arm.dropped
        base = {variant.id for variant in agreement.variants}
        if reason is None:
            bound = arm.variant is not None and arm.variant.partition("+")[0] in base and "+" in arm.variant
            if arm.variant != named and not (named is None and bound):
                raise AnalysisDeviationUndeclared("an arm asks another variant than was registered", arm=arm.id)
            continue
        answered = _PACK_REASONS.get(reason)
        if answered is not None:
            status = "provided" if course.status == "providedButBroken" else course.status
            if course.late:
                status = "notProvided"  # when TEST began
            if status not in answered:
                raise AnalysisDeviationUndeclared(
                    f"an arm is dropped as {reason}, the lab's pack is {status}", arm=arm.id
                )
        elif named is not None:
            raise AnalysisDeviationUndeclared(f"an arm that needs no hook is dropped as {reason}", arm=arm.id)
        elif reason == "hook_refused" and "fine_tune" not in hooks.refused:
            raise AnalysisDeviationUndeclared("an arm is dropped as refused, the log holds no refusal", arm=arm.id)
        elif reason == "hook_failed" and "fine_tune" not in hooks.failed:
            raise AnalysisDeviationUndeclared("an arm is dropped as failed, the log holds no failure", arm=arm.id)
