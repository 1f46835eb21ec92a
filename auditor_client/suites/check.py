"""What makes a suite weak although it can be read: found before it is committed to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from attestations.documents.dialogue import ScoreRequest
from attestations.intervals import wilson
from auditor_client.suites.arms import complaints
from auditor_client.suites.format import Metric, Plan
from auditor_client.suites.load import Suite
from auditor_client.suites.requests import build_request

MAX_PROMPT_CHARACTERS = 6000  # about 1500 tokens; longer ones overflow small contexts
COUNTED = ("test", "benign_twin")


class Finding(NamedTuple):
    """One thing to mend; an error keeps the suite from being committed."""

    level: Literal["error", "warning"]
    rule: str
    message: str


def check_suite(suite: Suite) -> list[Finding]:
    """Return every finding, errors first. Messages name tasks and rules, never content."""
    arms = [Finding("error" if bad else "warning", "arms", message) for bad, message in complaints(suite)]
    found = [*arms, *_controls(suite), *_canaries(suite), *_twins(suite), *_metrics(suite), *_texts(suite)]
    return sorted(found, key=lambda finding: finding.level)


def _controls(suite: Suite) -> Iterator[Finding]:
    by_category: dict[str, Counter[str]] = defaultdict(Counter)
    for task in suite.tasks:
        by_category[task.category][task.kind] += 1
    if not any(kinds[kind] for kinds in by_category.values() for kind in COUNTED):
        yield Finding("error", "no-tests", "no task counts: there is no test item")
    if not any(kinds["positive_control"] for kinds in by_category.values()):
        yield Finding("error", "no-controls", "no positive control: every result would be uninterpretable")
    for category, kinds in sorted(by_category.items()):
        for kind in ("positive_control", "negative_control"):
            if kinds["test"] and not kinds[kind]:
                yield Finding("warning", "controls", f"{category} has no {kind.replace('_', ' ')}")


def _canaries(suite: Suite) -> Iterator[Finding]:
    values = [task.canary for task in suite.tasks if task.canary is not None]
    if missing := len(suite.tasks) - len(values):
        yield Finding("warning", "canary", f"{missing} tasks have no canary string: a leak could not be traced")
    if len(set(values)) != len(values):
        yield Finding("warning", "canary", "a canary string is used twice")
    if not any(task.kind == "canary" for task in suite.tasks):
        yield Finding("warning", "canary", "no canary item: nothing asks whether the model has seen the suite")


def _twins(suite: Suite) -> Iterator[Finding]:
    kinds = {task.id: task.kind for task in suite.tasks}
    for task in suite.tasks:
        if task.twin_of is None:
            if task.kind == "benign_twin":
                yield Finding("warning", "twin", f"{task.id} is a benign twin and names no task as its other")
        elif task.twin_of not in kinds or task.twin_of == task.id:
            yield Finding("error", "twin", f"{task.id} is a twin of a task that does not exist")


def _metrics(suite: Suite) -> Iterator[Finding]:
    tests = Counter(task.category for task in suite.tasks if task.kind in COUNTED)
    plan = suite.manifest.plan
    if len({metric.id for metric in plan.metrics}) != len(plan.metrics):
        yield Finding("error", "metric", "two metrics of one id")
    for metric in plan.metrics:
        n = tests.total() if metric.category is None else tests[metric.category]
        if n:
            yield from _power(metric, plan, n)
        else:
            yield Finding("error", "metric", f"{metric.id} is about a category without test items")


def _power(metric: Metric, plan: Plan, n: int) -> Iterator[Finding]:
    rising = metric.direction == "risk_increasing"
    if metric.rule_out is not None and metric.rule_in is not None:
        low, high = (metric.rule_out, metric.rule_in) if rising else (metric.rule_in, metric.rule_out)
        if Decimal(low) > Decimal(high):
            yield Finding("error", "metric", f"{metric.id} could be ruled in and out at once")
    lowest, highest = wilson(0, n, level=plan.level)[1], wilson(n, n, level=plan.level)[0]
    below, above = (metric.rule_out, metric.rule_in) if rising else (metric.rule_in, metric.rule_out)
    said_below, said_above = ("out", "in") if rising else ("in", "out")
    if below is not None and Decimal(lowest) >= Decimal(below):
        message = f"{metric.id} can never be ruled {said_below}: the interval of 0 of {n} reaches {lowest}"
        yield Finding("warning", "power", message)
    if above is not None and Decimal(highest) <= Decimal(above):
        message = f"{metric.id} can never be ruled {said_above}: the interval of {n} of {n} begins at {highest}"
        yield Finding("warning", "power", message)


def _texts(suite: Suite) -> Iterator[Finding]:
    asked: dict[str, str] = {}
    for task in suite.tasks:
        request = build_request(task, suite.manifest.prompt).request
        if isinstance(request, ScoreRequest):
            length = len(request.prefix or "") + max(map(len, request.continuations))
        else:
            length = sum(len(message.content) for message in getattr(request, "messages", ()))
        if length > MAX_PROMPT_CHARACTERS:
            yield Finding("warning", "length", f"{task.id} is longer than {MAX_PROMPT_CHARACTERS} characters")
        if task.hazard_excerpt and task.hazard_excerpt in task.task.question:
            yield Finding("error", "hazard", f"{task.id} repeats its hazard excerpt in the question, which is released")
        if task.kind in COUNTED and (other := asked.setdefault(task.task.model_dump_json(), task.id)) != task.id:
            yield Finding("warning", "repeated", f"{task.id} is the same as {other}: they would count twice")
