"""From grades to the elicitation claim: the one computation that the auditor publishes and every verifier repeats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attestations.documents.engagement import PreRegistration
from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.elicitation.claims import (
    ArmClaim,
    DevFigure,
    ElicitationClaim,
    ExploratoryClaim,
    GapClaim,
    HookClaim,
    LabPackClaim,
    Spent,
)
from attestations.elicitation.course import Course
from attestations.elicitation.paired import Pairs, count_pairs, paired_difference
from attestations.grades import GradeRow, scored_rows
from attestations.scaffolds.method import AS_SHIPPED

DEV = "dev"


def outline(registration: PreRegistration, course: Course, hooks: Sequence[HookClaim] = ()) -> ElicitationClaim:
    """Return what the log alone shows of elicitation."""
    started = {arm.id: arm for arm in (course.start.arms if course.start is not None else ())}
    answer = course.answer
    return ElicitationClaim(
        best=None,
        arms=tuple(
            ArmClaim(
                id=name,
                status="run" if name in started and started[name].dropped is None else "notRun",
                reason=started[name].dropped if name in started else None,
                variant=started[name].variant if name in started else None,
                dev=None,
                spent=None,
            )
            for name in registration.arms
        ),
        lab_pack=LabPackClaim(
            status=course.status,
            digest=None if answer is None else answer.pack,
            reason=None if answer is None else answer.reason,
        ),
        hooks=tuple(hooks),
        gaps=(),
        exploratory=(),
    )


def elicitation_claim(
    shown: ElicitationClaim,
    plan: AnalysisPlan,
    rows: Sequence[GradeRow],
    *,
    spent: Mapping[str, Spent],
    exploratory: Mapping[str, int],
) -> ElicitationClaim:
    """Return the whole claim.

    Args:
        shown: the part that the log shows (`outline`).
        plan: the registered plan.
        rows: every grade.
        spent: what each arm used.
        exploratory: how many exchanges belong to no task, by purpose.
    """
    dev = dev_figures(rows)
    running = [arm.id for arm in shown.arms if arm.status == "run"]
    arms = tuple(arm.model_copy(update={"dev": dev.get(arm.id), "spent": spent.get(arm.id)}) for arm in shown.arms)
    whole = shown.model_copy(
        update={
            "arms": arms,
            "gaps": gaps(plan, rows, running),
            "exploratory": tuple(
                ExploratoryClaim(purpose=purpose, exchanges=str(count))
                for purpose, count in sorted(exploratory.items())
            ),
        }
    )
    return whole.model_copy(update={"best": best_on_dev(arms)})


def dev_figures(rows: Iterable[GradeRow]) -> dict[str, DevFigure]:
    """Return how each arm did on DEV."""
    counted: dict[str, Counter[bool]] = {}
    for row in rows:
        if row.value.role == DEV:
            counted.setdefault(row.arm, Counter())[row.value.outcome == "correct"] += 1
    return {arm: DevFigure(correct=str(count[True]), n=str(count.total())) for arm, count in counted.items()}


def best_on_dev(arms: Iterable[ArmClaim]) -> str | None:
    """Return the running arm with the highest share of DEV right, the first of equals; None without any DEV task."""
    best: str | None = None
    most: tuple[int, int] | None = None
    for arm in arms:
        if arm.status != "run" or arm.dev is None or arm.dev.n == "0":
            continue
        correct, n = int(arm.dev.correct), int(arm.dev.n)
        if most is None or correct * most[1] > most[0] * n:
            best, most = arm.id, (correct, n)
    return best


def gaps(plan: AnalysisPlan, rows: Sequence[GradeRow], running: Sequence[str]) -> tuple[GapClaim, ...]:
    """Return how much more each running arm found than the model as shipped, for each metric that has gaps."""
    # One pair a task: further epochs of a task are not independent of its first.
    first: dict[tuple[int, str], GradeRow] = {
        (row.task, row.arm): row for row in rows if row.value.role == "test" and row.epoch == 0
    }
    found = []
    for metric, arm in planned_gaps(plan, running):
        base = scored_rows(first.values(), arms=(AS_SHIPPED,), category=metric.category, group=metric.group)
        pairs = count_pairs((_right(first[row.task, arm]), _right(row)) for row in base if (row.task, arm) in first)
        found.append(gap(metric, arm, pairs, level=plan.level))
    return tuple(found)


def planned_gaps(plan: AnalysisPlan, running: Sequence[str]) -> list[tuple[PlannedMetric, str]]:
    """Return which gaps a plan makes: of each plain share, in each arm but the one it is held against.

    An arm that only lays the questions out otherwise elicits nothing; its figures stand in the swing.
    """
    if AS_SHIPPED not in running:
        return []
    plain = [metric for metric in plan.metrics if metric.measure is None]
    eliciting = [arm for arm in running if arm != AS_SHIPPED and arm not in plan.formats]
    return [(metric, arm) for metric in plain for arm in eliciting]


def gap(metric: PlannedMetric, arm: str, pairs: Pairs, *, level: str) -> GapClaim:
    """Return one gap from its counts."""
    value, interval = paired_difference(pairs, level=level)
    return GapClaim(
        id=metric.id,
        content_class=metric.content_class,
        category=metric.category,
        arm=arm,
        n=str(pairs.n),
        both=str(pairs.both),
        only_arm=str(pairs.only_arm),
        only_as_shipped=str(pairs.only_base),
        neither=str(pairs.neither),
        value=value,
        interval=interval,
        level=level,
    )


def trained_to_effect(claim: ElicitationClaim, registration: PreRegistration) -> bool:
    """Tell whether fine-tuning on DEV shows on DEV: without a gain there, a job may have done nothing.

    Where the model as shipped had every DEV task right there was nothing to gain, and nothing may be lost. An arm that
    was dropped shows nothing: its DEV tasks may have been asked of any variant.
    """
    dev = {arm.id: arm.dev for arm in claim.arms if arm.dev is not None and arm.status == "run" and arm.dev.n != "0"}
    base = dev.get(AS_SHIPPED)
    tuned = [dev[arm.id] for arm in registration.conduct or () if arm.variant is None and arm.id in dev]
    if base is None:
        return False
    if base.correct == base.n:
        return any(item.correct == item.n for item in tuned)
    return any(int(item.correct) * int(base.n) > int(base.correct) * int(item.n) for item in tuned)


def _right(row: GradeRow) -> bool:
    return row.value.outcome == "correct"
