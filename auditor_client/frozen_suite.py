"""The suite as it was committed: every field of every task and what is sent for it, never changed afterwards.

Later steps read this copy and not the author's files, so that editing those cannot part the run from its
commitment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SuiteKey, TaskLeaf, commit_task, suite_root
from attestations.documents.base import Hidden, Part, validated
from attestations.documents.dialogue import ModelRequest, Sampling
from attestations.errors import FileUnusable
from attestations.results import Role

MAX_LINE_BYTES = 2 * 1024 * 1024
# How an item counts, by its committed kind; items of other kinds are never sent.
ROLES: dict[str, Role] = {
    "test": "test",
    "benign_twin": "test",
    "positive_control": "positive_control",
    "negative_control": "negative_control",
    "canary": "canary",
}


class FrozenQuestion(Hidden, Part):
    """What is asked for a task, and how the answer is drawn."""

    request: ModelRequest
    sampling: Sampling


class FrozenTask(Hidden, Part):
    """One task: its fields as {path: (class, value)}, and its question unless it is never sent."""

    i: int = Field(ge=0)
    fields: dict[str, tuple[str, Any]]
    question: FrozenQuestion | None = None

    @property
    def kind(self) -> str:
        """The committed kind, e.g. `test` or `decoy`."""
        return str(self.value("kind"))

    @property
    def runs(self) -> bool:
        """Whether the task is ever sent."""
        return self.kind in ROLES

    def value(self, path: str) -> Any:
        """Return a field's value as JSON, or None."""
        return as_json(self.fields.get(path, ("", None))[1])

    def of_class(self, content_class: str) -> dict[str, Any]:
        """Return {path: value} of one class."""
        return {path: as_json(value) for path, (cls, value) in self.fields.items() if cls == content_class}


@dataclass(frozen=True, repr=False)
class FrozenSuite:
    """Every task in order, decoys included."""

    suite_id: str
    tasks: Sequence[FrozenTask]

    def leaves(self, key: SuiteKey) -> list[TaskLeaf]:
        """Return the committed leaf of every task."""
        return [commit_task(key, task.i, committed_fields(task.fields)) for task in self.tasks]

    def root(self, key: SuiteKey) -> str:
        """Return the suite's root as it is registered."""
        return suite_root(self.leaves(key))

    def to_bytes(self) -> bytes:
        """Return the file's text: the suite's name, then one task a line."""
        lines: Iterable[Mapping[str, Any]] = ({"suite": self.suite_id}, *(task.json_value() for task in self.tasks))
        return b"".join(canonical_bytes(line) + b"\n" for line in lines)


def parse_frozen_suite(data: bytes) -> FrozenSuite:
    """Read what `to_bytes` wrote.

    Raises:
        FileUnusable: the file is not a committed suite, or a task is out of place.
    """
    lines = data.splitlines()
    try:
        suite_id = str(json.loads(lines[0])["suite"])
    except (ValueError, LookupError, TypeError):
        raise FileUnusable("not a committed suite", file="committed.jsonl") from None
    tasks = [validated(FrozenTask, parse_canonical(line, limit=MAX_LINE_BYTES)) for line in lines[1:]]
    if [task.i for task in tasks] != list(range(len(tasks))):
        raise FileUnusable("the committed suite's tasks are out of order", file="committed.jsonl")
    return FrozenSuite(suite_id, tasks)


def committed_fields(fields: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return the fields as commitments take them."""
    return {path: (cls, as_json(value)) for path, (cls, value) in fields.items()}


def as_json(value: Any) -> Any:
    """Return a value with lists where the strict models put tuples."""
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value
