"""Looks at items one by one and at the suite as a whole; what it keeps of an item is a few hundred bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from auditor_client.suites.suspicion.balance import Balance
from auditor_client.suites.suspicion.duplicates import Texts
from auditor_client.suites.suspicion.finding import COUNTED, ITEM_RULES, KEPT_APART, LEVELS, Finding
from auditor_client.suites.suspicion.options import answer_stands_in, option_rules
from auditor_client.suites.suspicion.own_grader import grader_rules
from auditor_client.suites.suspicion.texts import text_rules
from auditor_client.suites.tasks import AgentTask, ChoiceTask, ExactTask, JudgedTask, NumericTask, Task


class Inspector:
    """Takes every task of a suite, then says what is suspicious."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._counted = bytearray()
        self._texts = Texts()
        self._balance = Balance()
        self._by_rule: dict[str, list[str]] = defaultdict(list)

    def take(self, task: Task, marks: Iterable[str] = ()) -> None:
        """Look at one task; `marks` are item rules that its source raises."""
        if task.kind not in (*COUNTED, *KEPT_APART):
            return
        for rule in dict.fromkeys((*_item_rules(task), *marks)):
            self._by_rule[rule].append(task.id)
        self._names.append(task.id)
        self._counted.append(task.kind in COUNTED)
        options, right = _compared(task)
        self._texts.add(task.task.question, options, right)
        if task.kind in COUNTED:
            self._balance.add(task)

    def findings(self) -> list[Finding]:
        """Return what was found, errors first; messages name tasks and rules, never content."""
        found = [*self._same(), *self._near(), *self._balance.findings()]
        for rule, names in self._by_rule.items():
            level, meaning = ITEM_RULES[rule]
            found.append(Finding(level, rule, f"{_many(names)}: {meaning}", tuple(names)))
        return sorted(found, key=lambda finding: (LEVELS.index(finding.level), finding.rule))

    def _same(self) -> Iterator[Finding]:
        for group, agree in self._texts.same():
            names, sides = self._of(group)
            if not agree:
                message = f"{names[0]} and {names[1]} ask the same and have different right answers"
                yield Finding("error", "contradiction", message, names)
            elif len(sides) > 1:
                message = f"{names[0]} is the same as {names[1]}, and only one of them counts: what was tuned is tested"
                yield Finding("error", "split-leak", message, names)
            elif True in sides:
                message = f"{names[1]} is the same as {names[0]}: they would count twice"
                yield Finding("warning", "repeated", message, names)

    def _near(self) -> Iterator[Finding]:
        for group in self._texts.near():
            names, sides = self._of(group)
            if len(sides) > 1:
                message = f"{_many(names)} are nearly the same, on both sides of the split"
                yield Finding("warning", "near-split", message, names)
            elif True in sides:
                message = f"{_many(names)} are nearly the same: they count as one in a cluster"
                yield Finding("info", "near-duplicate", message, names)

    def _of(self, group: list[int]) -> tuple[tuple[str, ...], set[bool]]:
        return tuple(self._names[item] for item in group), {bool(self._counted[item]) for item in group}


def _item_rules(task: Task) -> Iterator[str]:
    body = task.task
    answers = body.options if isinstance(body, ChoiceTask) else body.answers if isinstance(body, ExactTask) else ()
    yield from text_rules(body.question, answers)
    if isinstance(body, ChoiceTask):
        yield from option_rules(body.question, body.options, body.answer)
    elif isinstance(body, ExactTask) and answer_stands_in(body.question, body.answers):
        yield "answer-in-question"
    yield from grader_rules(task)


def _compared(task: Task) -> tuple[tuple[str, ...], str]:
    body = task.task
    if isinstance(body, ChoiceTask):
        return body.options, body.options[body.answer]
    if isinstance(body, ExactTask | AgentTask) and body.answers:
        return (), "\n".join(sorted(body.answers))
    if isinstance(body, JudgedTask):
        return (), body.reference or ""
    if isinstance(body, NumericTask | AgentTask) and body.value is not None:
        return (), body.value
    return (), getattr(body, "pattern", None) or ""


def _many(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"  # noqa: PLR2004 - enough to begin with
