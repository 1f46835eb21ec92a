"""From a written task to what is committed: one fixed schema, in which absent fields are null."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from attestations.documents.analysis import PlannedJudge, PlannedMeasure
from attestations.documents.base import encode
from attestations.documents.planning import AnalysisPlan, PlannedMetric
from attestations.errors import SuiteInvalid
from attestations.grading import (
    ExactTarget,
    JudgedTarget,
    LetterChoiceTarget,
    NumericTarget,
    PatternTarget,
    ScoredChoiceTarget,
    Target,
)
from auditor_client.committing import Draft
from auditor_client.frozen_suite import ROLES, FrozenQuestion
from auditor_client.suites.arms import asked_arms, committed_arms, planned_formats
from auditor_client.suites.load import Suite
from auditor_client.suites.manifest import Metric
from auditor_client.suites.requests import build_request
from auditor_client.suites.tasks import ANSWER_METADATA, AgentTask, ChoiceTask, ExactTask, JudgedTask, PatternTask, Task


def drafts(suite: Suite) -> Iterator[Draft]:
    """Give every task as it is committed to, in the suite's order."""
    in_arms = bool(asked_arms(suite.manifest))
    for task in suite.tasks:
        asked = build_request(task, suite.manifest.prompt)
        sent = task.kind in ROLES or (task.kind == "dev" and in_arms)
        yield Draft(fields=fields(task, asked), question=asked if sent else None)


def fields(task: Task, asked: FrozenQuestion) -> dict[str, tuple[str, Any]]:
    """Return {path: (class, value)} of one task (`docs/spec/commitments.md`).

    The prompt holds the whole request, so that a reader can compare it with the transcript's.
    """
    body, target = task.task, target_of(task).json_value()
    choice = body if isinstance(body, ChoiceTask) else None
    prompt: dict[str, Any] = {
        "type": body.type,
        "question": body.question,
        "options": list(choice.options) if choice else None,
        "scoring": choice.scoring if choice else None,
        "request": asked.request.json_value(),
        "sampling": asked.sampling.json_value(),
    }
    if isinstance(body, AgentTask):
        prompt["workspace"] = body.workspace().json_value()
    return {
        "kind": ("C5", task.kind),
        "prompt": ("C5", prompt),
        "category": ("C3", task.category),
        "difficulty": ("C3", task.difficulty),
        "weight": ("C3", task.weight),
        "twinOf": ("C3", task.twin_of),
        "abstract": ("C3", task.abstract),
        "metadata": ("C3", {key: value for key, value in task.metadata.items() if key not in ANSWER_METADATA} or None),
        "target": ("C6", target),
        "rubric": ("C6", task.rubric),
        "graderRef": ("C6", target["grader"]),
        "canary": ("C6", task.canary),
        "answerMetadata": (
            "C6",
            {key: value for key, value in task.metadata.items() if key in ANSWER_METADATA} or None,
        ),
        "hazardExcerpt": ("C9", task.hazard_excerpt),
        "provenance": ("C8", task.provenance),
        "source": ("C8", None if task.source is None else task.source.model_dump()),
        "author": ("C8", task.author),
        "exposureBefore": ("C8", task.exposure_before),
        "id": ("C8", task.id),
    }


def analysis_plan(
    suite: Suite, *, nonce: bytes, drawn: int | None = None, judges: Sequence[PlannedJudge] = ()
) -> AnalysisPlan:
    """Return the plan to commit to.

    Args:
        suite: the suite.
        nonce: 32 random bytes.
        drawn: how many scored tasks a draw will leave; None for all.
        judges: the models that grade, as they were calibrated.

    Raises:
        SuiteInvalid: a task names a judge that is none of them, or a metric could be ruled in and out at once.
    """
    plan = suite.manifest.plan
    named = {task.task.judge for task in suite.tasks if isinstance(task.task, JudgedTask)}
    if unknown := sorted(named - {judge.name for judge in judges}):
        raise SuiteInvalid(
            f"tasks name a judge, {unknown[0]}, that is not calibrated: run `safeconduct auditor judge calibrate`",
            rule="judge",
        )
    return AnalysisPlan(
        nonce=encode(nonce),
        metrics=tuple(map(_planned, plan.metrics)),
        scored_tasks=drawn or sum(ROLES.get(task.kind) == "test" for task in suite.tasks),
        level=plan.level,
        answered_floor=plan.answered_floor,
        positive_control_bound=plan.positive_control_bound,
        exclusion_codes=plan.exclusion_codes,
        multiplicity=None if plan.multiplicity == "none" else plan.multiplicity,
        stopping="all_scheduled",
        headline=plan.headline,
        formats=planned_formats(suite.manifest),
        judges=tuple(judge for judge in judges if judge.name in named),
        measures=tuple(PlannedMeasure.model_validate(measure.model_dump()) for measure in plan.measures),
        arms=committed_arms(suite),
    )


def _planned(metric: Metric) -> PlannedMetric:
    try:
        return PlannedMetric.model_validate(metric.model_dump())
    except ValidationError:
        raise SuiteInvalid(f"{metric.id} could be ruled in and out at once", rule="metric") from None


def target_of(task: Task) -> Target:
    """Return what a task's answer is graded against."""
    body = task.task
    if isinstance(body, ChoiceTask):
        if body.scoring == "letter":
            return LetterChoiceTarget(answer=body.answer)
        return ScoredChoiceTarget(answer=body.answer, scoring=body.scoring)
    if isinstance(body, AgentTask):
        return _handed_in(body)
    if isinstance(body, ExactTask):
        return ExactTarget(answers=body.answers, normalise=body.normalise)
    if isinstance(body, JudgedTask):
        return JudgedTarget(judge=body.judge, reference=body.reference)
    if isinstance(body, PatternTask):
        return PatternTarget(pattern=body.pattern)
    return NumericTarget(value=body.value, tolerance=body.tolerance, relative_tolerance=body.relative_tolerance)


def _handed_in(body: AgentTask) -> Target:
    if body.answers:
        return ExactTarget(answers=body.answers)
    if body.pattern is not None:
        return PatternTarget(pattern=body.pattern)
    return NumericTarget(value=body.value or "0", tolerance=body.tolerance)
