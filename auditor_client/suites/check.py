"""What makes a suite weak although it can be read: found before it is committed to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal

from attestations.documents.dialogue import ScoreRequest
from attestations.intervals import wilson
from auditor_client.suites.arms import asked_arms, complaints
from auditor_client.suites.formats import Layout
from auditor_client.suites.load import Suite
from auditor_client.suites.manifest import Manifest, Metric, Plan, PromptFormat
from auditor_client.suites.requests import build_request
from auditor_client.suites.suspicion.finding import COUNTED, LEVELS, Finding
from auditor_client.suites.suspicion.inspector import Inspector
from auditor_client.suites.tasks import Task

MAX_PROMPT_CHARACTERS = 6000  # about 1500 tokens; longer ones overflow small contexts


def check_suite(suite: Suite) -> list[Finding]:
    """Return every finding, errors first. Messages name tasks and rules, never content."""
    checker = Checker(suite.manifest)
    for task in suite.tasks:
        checker.take(task)
    return checker.findings()


class Checker:
    """Takes every task of a suite in one pass, then says what is wrong with it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._arms_asked = asked_arms(manifest)
        self._layout = Layout(manifest)
        self._inspector = Inspector()
        self._found: list[Finding] = []
        self._by_category: dict[str, Counter[str]] = defaultdict(Counter)
        self._canaries: set[str] = set()
        self._names: set[str] = set()
        self._twins: dict[str, str] = {}
        self._dev: dict[str, Task] = {}  # only where arms may show them
        self.kinds: Counter[str] = Counter()
        self._without_canary = 0
        self._canary_twice = False

    def take(self, task: Task, marks: Iterable[str] = ()) -> None:
        """Look at the next task; `marks` are item rules that its source raises."""
        self._names.add(task.id)
        self.kinds[task.kind] += 1
        self._by_category[task.category][task.kind] += 1
        if task.kind == "dev" and self._arms_asked:
            self._dev[task.id] = task
        self._without_canary += task.canary is None
        if task.canary is not None:
            self._canary_twice |= task.canary in self._canaries
            self._canaries.add(task.canary)
        if task.twin_of is not None:
            self._twins[task.id] = task.twin_of
        elif task.kind == "benign_twin":
            message = f"{task.id} is a benign twin and names no task as its other"
            self._found.append(Finding("warning", "twin", message, (task.id,)))
        self._found += _texts(task, self._manifest.prompt)
        self._layout.take(task)
        self._inspector.take(task, marks)

    def findings(self) -> list[Finding]:
        """Return every finding, errors first."""
        found = [
            *self._arms(),
            *self._layout.findings(),
            *self._controls(),
            *self._canary_findings(),
            *self._twin_findings(),
            *self._metrics(),
            *self._found,
            *self._inspector.findings(),
        ]
        return sorted(found, key=lambda finding: LEVELS.index(finding.level))

    def _arms(self) -> Iterator[Finding]:
        for bad, message in complaints(self._arms_asked, self._dev):
            yield Finding("error" if bad else "warning", "arms", message)

    def _controls(self) -> Iterator[Finding]:
        if not any(self.kinds[kind] for kind in COUNTED):
            yield Finding("error", "no-tests", "no task counts: there is no test item")
        if not self.kinds["positive_control"]:
            yield Finding("error", "no-controls", "no positive control: every result would be uninterpretable")
        for category, kinds in sorted(self._by_category.items()):
            for kind in ("positive_control", "negative_control"):
                if kinds["test"] and not kinds[kind]:
                    yield Finding("warning", "controls", f"{category} has no {kind.replace('_', ' ')}")

    def _canary_findings(self) -> Iterator[Finding]:
        if self._without_canary:
            message = f"{self._without_canary} tasks have no canary string: a leak could not be traced"
            yield Finding("warning", "canary", message)
        if self._canary_twice:
            yield Finding("warning", "canary", "a canary string is used twice")
        if not self.kinds["canary"]:
            yield Finding("warning", "canary", "no canary item: nothing asks whether the model has seen the suite")

    def _twin_findings(self) -> Iterator[Finding]:
        for name, other in self._twins.items():
            if other not in self._names or other == name:
                yield Finding("error", "twin", f"{name} is a twin of a task that does not exist", (name,))

    def _metrics(self) -> Iterator[Finding]:
        tests = {category: sum(kinds[kind] for kind in COUNTED) for category, kinds in self._by_category.items()}
        plan = self._manifest.plan
        if len({metric.id for metric in plan.metrics}) != len(plan.metrics):
            yield Finding("error", "metric", "two metrics of one id")
        for metric in plan.metrics:
            n = sum(tests.values()) if metric.category is None else tests.get(metric.category, 0)
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


def _texts(task: Task, form: PromptFormat) -> Iterator[Finding]:
    if _prompt_characters(task, form) > MAX_PROMPT_CHARACTERS:
        message = f"{task.id} is longer than {MAX_PROMPT_CHARACTERS} characters"
        yield Finding("warning", "length", message, (task.id,))
    if task.hazard_excerpt and task.hazard_excerpt in task.task.question:
        message = f"{task.id} repeats its hazard excerpt in the question, which is released"
        yield Finding("error", "hazard", message, (task.id,))


def _prompt_characters(task: Task, form: PromptFormat) -> int:
    request = build_request(task, form).request
    if isinstance(request, ScoreRequest):
        return len(request.prefix or "") + max(map(len, request.continuations))
    return sum(len(message.content) for message in getattr(request, "messages", ()))
