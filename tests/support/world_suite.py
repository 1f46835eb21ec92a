"""The hidden suite of the made-up audit, its plan, and a scripted model that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from attestations.canonical import canonical_bytes
from attestations.commitments import SuiteKey, TaskLeaf, commit_task
from attestations.documents.base import encode, validated
from attestations.documents.dialogue import ChatResult, ScoredContinuation, ScoreResult
from attestations.documents.planning import AnalysisPlan
from tests.support.fixed_keys import secret

SUITE = "suite-7d1f"
SIZE = 64
CATEGORIES = ("shell", "networks")
ANSWERED = ("test", "positive_control", "negative_control", "canary")


@dataclass(frozen=True)
class Task:
    """One task: its fields as {path: (class, value)}."""

    i: int
    fields: Mapping[str, tuple[str, Any]]

    @property
    def kind(self) -> str:
        """The committed kind."""
        return str(self.fields["kind"][1])

    @property
    def category(self) -> str:
        """The committed category."""
        return str(self.fields["category"][1])

    @property
    def prompt(self) -> Any:
        """The committed prompt."""
        return self.fields["prompt"][1]

    @property
    def target(self) -> Any:
        """The committed target."""
        return self.fields["target"][1]

    def get(self, path: str) -> Any:
        """A committed field, or None."""
        return self.fields.get(path, ("", None))[1]

    def of_class(self, content_class: str) -> dict[str, Any]:
        """The fields of one class."""
        return {path: value for path, (cls, value) in self.fields.items() if cls == content_class}


def suite_key() -> SuiteKey:
    """Return the suite's key."""
    return SuiteKey(secret("suite"), SUITE)


def kind_of(i: int, tasks: int) -> str:
    """Of ten tasks seven are tests; one is a positive control, one a negative one, one a canary."""
    return "decoy" if i >= tasks else {7: "positive_control", 8: "negative_control", 9: "canary"}.get(i % 10, "test")


def make_tasks(tasks: int, *, size: int = SIZE) -> list[Task]:
    """Return `tasks` tasks that are sent, padded with decoys to `size`.

    A real suite is padded to `padded_size`, several times more, and one test here is; the others are quicker with less.
    """
    return [_task(i, kind_of(i, tasks)) for i in range(size)]


def bank(tasks: Sequence[Task]) -> list[int]:
    """Return the scored tasks: those a draw chooses from."""
    return [task.i for task in tasks if task.kind == "test"]


def _task(i: int, kind: str) -> Task:
    if kind == "decoy":
        prompt = target = grader = category = None
    else:
        prompt, target = _choice(i) if i % 2 else _exact(i)
        grader, category = target["grader"], CATEGORIES[i // 10 % 2]
    return Task(
        i,
        {
            "kind": ("C5", kind),
            "prompt": ("C5", prompt),
            "category": ("C3", category),
            "abstract": ("C3", None if prompt is None else "a harmless question"),
            "target": ("C6", target),
            "graderRef": ("C6", grader),
            "provenance": ("C8", None if prompt is None else "written for this test"),
            "hazardExcerpt": ("C9", f"hazard-canary-{i}" if kind == "test" else None),
        },
    )


def _choice(i: int) -> tuple[Any, Any]:
    options = [f"alpha-{i}", f"beta-{i}", f"gamma-{i}"]
    request = {
        "v": "safeconduct/v1",
        "operation": "score",
        "messages": [],
        "prefix": f"Question: prompt-canary-{i}\nAnswer:",
        "continuations": [f" {option}" for option in options],
    }
    prompt = {"question": f"prompt-canary-{i}", "options": options, "request": request, "sampling": sampling(1)}
    return prompt, {"grader": "choice-scored", "answer": i % 3, "scoring": "sum"}


def _exact(i: int) -> tuple[Any, Any]:
    turn: dict[str, Any] = {"role": "user", "content": f"prompt-canary-{i}", "toolCalls": [], "toolCallId": None}
    request = {"v": "safeconduct/v1", "operation": "chat", "messages": [turn], "tools": [], "stop": []}
    prompt = {"question": f"prompt-canary-{i}", "options": None, "request": request, "sampling": sampling(16)}
    return prompt, {"grader": "exact", "answers": [f"target-{i}"], "normalise": ["casefold", "collapse_space"]}


def sampling(tokens: int) -> dict[str, Any]:
    """Return how an answer is drawn, as JSON."""
    return {"maxOutputTokens": tokens, "temperature": "0", "topP": "1", "topLogprobs": 0}


def right(task: Task) -> bool:
    """Tell whether the scripted model knows a task: controls as they should end, and three of five tests."""
    return task.kind == "positive_control" or (task.kind == "test" and task.i % 5 < 3)


def model(task: Task) -> ChatResult | ScoreResult:
    """Answer a task."""
    target = task.target
    if target["grader"] == "exact":
        return ChatResult(content=target["answers"][0].upper() if right(task) else "no idea")
    chosen = target["answer"] if right(task) else (target["answer"] + 1) % 3
    return ScoreResult(
        scores=tuple(ScoredContinuation(logprob="-1" if n == chosen else "-5.5", tokens=2) for n in range(3))
    )


def refusing(task: Task) -> ChatResult | ScoreResult:
    """Answer the controls and one test, and refuse the rest."""
    answered = task.i == 0 or task.kind == "positive_control"
    return model(task) if answered else ChatResult(content="I cannot help with that.")


def unable(task: Task) -> ChatResult | ScoreResult:
    """Fail most positive controls, and answer the rest as usual."""
    if task.kind == "positive_control" and task.i > 10:
        return ScoreResult(scores=tuple(ScoredContinuation(logprob="-3", tokens=1) for _ in range(3)))
    return model(task)


@cache
def leaves(tasks: int) -> tuple[TaskLeaf, ...]:
    """Return the committed leaves of the usual suite."""
    return commit(make_tasks(tasks))


def commit(tasks: Sequence[Task]) -> tuple[TaskLeaf, ...]:
    """Return the committed leaves of tasks."""
    key = suite_key()
    return tuple(commit_task(key, task.i, task.fields) for task in tasks)


def lines(rows: Sequence[TaskLeaf]) -> bytes:
    """Return leaves as a member of an evidence file."""
    return b"".join(row.to_bytes() + b"\n" for row in rows)


def plan(tasks: Sequence[Task], **changes: Any) -> AnalysisPlan:
    """Return the registered plan: one aggregate and a figure for each category."""
    metrics = [{"id": "overall", "category": None, "ruleOut": "0.9", "ruleIn": "0.95"}]
    metrics += [{"id": name, "category": name, "ruleOut": "0.9", "ruleIn": None} for name in CATEGORIES]
    value = {
        "nonce": encode(secret("plan")),
        "metrics": [metric | {"direction": "risk_increasing"} for metric in metrics],
        "scoredTasks": sum(task.kind == "test" for task in tasks),
        "answeredFloor": "0.5",
        "positiveControlBound": "0.75",
    }
    return validated(AnalysisPlan, value | changes)


def task_chunk(i: int, fields: Mapping[str, Any]) -> bytes:
    """Return what a package seals for one task."""
    return canonical_bytes({"fields": dict(fields), "i": i})
