"""What is claimed of elicitation, held against the log, the plan, the grades and the exchanges that are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from attestations.documents.engagement import PreRegistration
from attestations.documents.planning import AnalysisPlan
from attestations.elicitation.claims import ElicitationClaim, Spent
from attestations.elicitation.course import Course
from attestations.elicitation.figures import best_on_dev, dev_figures, gap, gaps, outline, planned_gaps
from attestations.elicitation.paired import Pairs
from attestations.errors import (
    AnalysisDeviationUndeclared,
    CommitmentMismatch,
    PreRegistrationAltered,
    ScoreMismatch,
)
from attestations.grades import ANSWERED, GradeRow
from attestations.predicate import AuditPredicate
from attestations.verify.disclosure import classes_up_to
from attestations.verify.schedule import Schedule
from attestations.verify.tally import Tally
from attestations.verify.transcript import Transcript

AUDITOR_BEST = "auditor_best"
_SOURCE = {"pack": "lab_pack", "hook": "fine_tuned", "given": "fine_tuned"}


def check_outline(predicate: AuditPredicate, log: Transcript) -> None:
    """Compare what the attestation says of elicitation with what the log shows.

    Raises:
        CommitmentMismatch: it says something else, more or nothing.
    """
    claim, registration = predicate.elicitation, log.registration
    if registration is None or registration.conduct is None:
        if claim is not None:
            raise CommitmentMismatch("elicitation is claimed of an audit without registered arms", field="elicitation")
        return
    if claim is None or claim.outline() != outline(registration, log.course, log.hooks.claims()):
        raise CommitmentMismatch("the attestation states elicitation otherwise than the log", field="elicitation")


def check_plan(plan: AnalysisPlan, registration: PreRegistration, course: Course) -> None:
    """Compare the arms of the opened plan with what was registered of them, and with what became of them.

    Raises:
        PreRegistrationAltered: they differ, or an arm is not what its name says.
        AnalysisDeviationUndeclared: an arm was dropped for a reason that cannot be its own.
    """
    if registration.conduct is None or plan.arms is None:
        if plan.arms is not None or registration.conduct is not None:
            raise PreRegistrationAltered("the plan's arms are not those registered", field="arms")
        return
    for arm, known in zip(plan.arms, registration.conduct, strict=False):
        bound = (arm.variant in (None, known.variant)) if known.variant is not None else arm.source == "fine_tuned"
        if arm.id != known.id or not bound or (arm.epochs or registration.epochs) != known.epochs:
            raise PreRegistrationAltered("the plan's arms are not those registered", arm=known.id)
        if arm.source == "fine_tuned" and known.variant is not None:
            raise PreRegistrationAltered("an arm that is to be fine-tuned names a variant", arm=arm.id)
        if arm.id == AUDITOR_BEST and arm.source == "registered" and arm.method.plain:
            raise PreRegistrationAltered(f"{AUDITOR_BEST} asks as shipped", arm=arm.id)
    if len(plan.arms) != len(registration.conduct):
        raise PreRegistrationAltered("the plan's arms are not those registered", field="arms")
    sources = {arm.id: arm.source for arm in plan.arms}
    for started in course.start.arms if course.start is not None else ():
        kind = (started.dropped or "").partition("_")[0]
        if started.dropped is not None and sources[started.id] != _SOURCE[kind]:
            raise AnalysisDeviationUndeclared(f"an arm is dropped as {started.dropped}", arm=started.id)


def check_sealed(claim: ElicitationClaim, sealed: ElicitationClaim | None) -> None:
    """Compare what is published of elicitation with what was sealed before any release.

    Raises:
        ScoreMismatch: they differ.
    """
    if sealed is None or claim.up_to(("C2",)) != sealed:
        raise ScoreMismatch("what is published of elicitation is not what was sealed", field="elicitation")


def check_arithmetic(
    claim: ElicitationClaim, plan: AnalysisPlan, running: Sequence[str], classes: Sequence[str]
) -> None:
    """Compute every gap again from its own counts, and the best arm from the DEV figures.

    Raises:
        ScoreMismatch: a gap does not follow from its counts, is missing or was not planned.
        AnalysisDeviationUndeclared: another arm is called the best than did best on DEV.
    """
    planned = [(metric, arm) for metric, arm in planned_gaps(plan, running) if metric.content_class in classes]
    if [(item.id, item.arm) for item in claim.gaps] != [(metric.id, arm) for metric, arm in planned]:
        raise ScoreMismatch("the attestation does not report exactly the gaps that were planned", field="gaps")
    for item, (metric, arm) in zip(claim.gaps, planned, strict=True):
        pairs = Pairs(int(item.both), int(item.only_arm), int(item.only_as_shipped), int(item.neither))
        if item != gap(metric, arm, pairs, level=plan.level):
            raise ScoreMismatch(f"the gap of {item.arm} does not follow from its own counts", arm=item.arm)
    _check_best(claim, best_on_dev(claim.arms))


def check_recomputed(claim: ElicitationClaim, plan: AnalysisPlan, rows: Sequence[GradeRow], course: Course) -> None:
    """Compute the gaps, the DEV figures and the best arm again from the opened grades.

    Raises:
        ScoreMismatch: a figure differs.
        AnalysisDeviationUndeclared: another arm is called the best than did best on DEV, or the lab's pack is called
            broken though it was answered.
    """
    running = [arm.id for arm in claim.arms if arm.status == "run"]
    dev = dev_figures(rows)
    _check_best(claim, best_on_dev(arm.model_copy(update={"dev": dev.get(arm.id)}) for arm in claim.arms))
    if {arm.id: arm.dev for arm in claim.arms if arm.dev is not None} != dev:
        raise ScoreMismatch("the DEV figures do not follow from the grades", field="dev")
    shown = {item.content_class for item in claim.gaps}
    if claim.gaps != tuple(item for item in gaps(plan, rows, running) if item.content_class in shown):
        raise ScoreMismatch("the gaps do not follow from the grades", field="gaps")
    for arm in course.start.arms if course.start is not None else ():
        if arm.dropped == "pack_broken":
            outcomes = [row.value.outcome for row in rows if row.arm == arm.id and row.value.role == "dev"]
            answered = sum(outcome in ANSWERED for outcome in outcomes)
            if not outcomes or answered >= Decimal(plan.answered_floor) * len(outcomes):
                raise AnalysisDeviationUndeclared("the lab's pack is called broken, DEV was answered", arm=arm.id)


def check_cost(claim: ElicitationClaim, schedule: Schedule, tally: Tally) -> None:
    """Compare what each arm used, and what was asked beside the schedule, with the log.

    Raises:
        ScoreMismatch: it used something else.
    """
    if {arm.id: arm.spent for arm in claim.arms if arm.spent is not None} != spent_by_arm(schedule, tally):
        raise ScoreMismatch("what the arms used is not what the log says", field="spent")
    if {item.purpose: int(item.exchanges) for item in claim.exploratory} != schedule.auxiliary:
        raise ScoreMismatch("other exploratory exchanges are claimed than the log holds", field="exploratory")


def spent_by_arm(schedule: Schedule, tally: Tally) -> Mapping[str, Spent]:
    """Return what each arm that asked anything used."""
    totals: dict[str, list[int]] = {}
    for promise in range(tally.promises):
        place = schedule.place(promise)
        if place is None:
            continue
        used = totals.setdefault(place[1], [0, 0, 0])
        read, written = tally.used(promise)
        used[0] += 1
        used[1] += read
        used[2] += written
    return {
        arm: Spent(exchanges=str(count), input_tokens=str(read), output_tokens=str(written))
        for arm, (count, read, written) in totals.items()
    }


def shown_classes(predicate: AuditPredicate) -> tuple[str, ...]:
    """Return the classes whose figures an attestation shows."""
    return tuple(cls for cls in ("C2", "C3") if cls in classes_up_to(predicate.disclosure.stage))


def _check_best(claim: ElicitationClaim, best: str | None) -> None:
    if claim.best != best:
        raise AnalysisDeviationUndeclared(f"{claim.best} is called the best arm, on DEV it is {best}", best=str(best))
