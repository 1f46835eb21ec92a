"""The suite as it was committed: every field of every task and what is sent for it, never changed afterwards.

Later steps read this copy and not the author's files, so that editing those cannot part the run from its
commitment.
"""

from __future__ import annotations

import json
import os
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, overload

from pydantic import Field

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SuiteKey, TaskLeaf, commit_task, suite_root
from attestations.documents.base import Hidden, Part, validated_json
from attestations.documents.dialogue import ModelRequest, Sampling
from attestations.errors import FileUnusable
from attestations.files import open_file
from attestations.grades import Role

MAX_LINE_BYTES = 2 * 1024 * 1024
_NESTED = (list, tuple, dict)  # most values are not: they need no call
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


class FrozenTasks(Sequence[FrozenTask]):
    """The tasks of a committed file, each read where it lies: a suite of any size takes little memory."""

    def __init__(self, path: Path) -> None:
        """Find where every line begins.

        Raises:
            FileUnusable: the file cannot be read, or is not a committed suite.
        """
        self._path = path
        self._starts = array("Q")
        self._file: BufferedReader | None = None  # once a single task is read
        with open_file(path) as file:
            self.suite_id = _suite_id(file.readline(MAX_LINE_BYTES))
            while line := file.readline(MAX_LINE_BYTES + 1):
                self._starts.append(file.tell() - len(line))
        self._end = path.stat().st_size

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[FrozenTask]:
        with open_file(self._path) as file:
            file.readline(MAX_LINE_BYTES)
            for number in range(len(self)):
                yield _task(file.readline(MAX_LINE_BYTES + 1), number)

    @overload
    def __getitem__(self, place: int) -> FrozenTask: ...
    @overload
    def __getitem__(self, place: slice) -> list[FrozenTask]: ...
    def __getitem__(self, place: int | slice) -> FrozenTask | list[FrozenTask]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        end = self._starts[number + 1] if number + 1 < len(self) else self._end
        if self._file is None:
            self._file = open_file(self._path)
            weakref.finalize(self, self._file.close)
        return _task(os.pread(self._file.fileno(), end - self._starts[number], self._starts[number]), number)


@dataclass(frozen=True, repr=False)
class FrozenSuite:
    """Every task in order, decoys included."""

    suite_id: str
    tasks: Sequence[FrozenTask]

    def leaves(self, key: SuiteKey) -> Iterator[TaskLeaf]:
        """Give the committed leaf of every task."""
        return (commit_task(key, task.i, task.fields) for task in self.tasks)

    def root(self, key: SuiteKey) -> str:
        """Return the suite's root as it is registered."""
        return suite_root(self.leaves(key))

    def lines(self) -> Iterator[bytes]:
        """Give the file's lines: the suite's name, then one task a line."""
        yield first_line(self.suite_id)
        for task in self.tasks:
            encoded = {path: (cls, canonical_bytes(value)) for path, (cls, value) in task.fields.items()}
            yield encoded_line(task, encoded)

    def to_bytes(self) -> bytes:
        """Return the file's text."""
        return b"".join(self.lines())


def open_frozen_suite(path: Path) -> FrozenSuite:
    """Return the suite in a committed file; its tasks are read as they are asked for.

    Raises:
        FileUnusable: the file cannot be read, or is not a committed suite; later, that a task is out of place.
    """
    tasks = FrozenTasks(path)
    return FrozenSuite(tasks.suite_id, tasks)


def parse_frozen_suite(data: bytes) -> FrozenSuite:
    """Read what `to_bytes` wrote.

    Raises:
        FileUnusable: the file is not a committed suite, or a task is out of place.
    """
    first, *lines = data.splitlines(keepends=True) or [b""]
    return FrozenSuite(_suite_id(first), [_task(line, number) for number, line in enumerate(lines)])


def first_line(suite_id: str) -> bytes:
    """Return the line that names the suite."""
    return canonical_bytes({"suite": suite_id}) + b"\n"


def encoded_line(task: FrozenTask, fields: Mapping[str, tuple[str, bytes]]) -> bytes:
    """Return a task's line from the canonical forms of its fields, which cost most and are needed twice.

    The line is canonical as it stands: its names are sorted, and a path is plain ASCII.
    """
    listed = b",".join(
        b'"%s":["%s",%s]' % (path.encode(), cls.encode(), encoded) for path, (cls, encoded) in sorted(fields.items())
    )
    question = canonical_bytes(None if task.question is None else task.question.json_value())
    return b'{"fields":{%s},"i":%d,"question":%s}\n' % (listed, task.i, question)


def _suite_id(line: bytes) -> str:
    try:
        return str(json.loads(line)["suite"])
    except (ValueError, LookupError, TypeError):
        raise FileUnusable("not a committed suite", file="committed.jsonl") from None


def _task(line: bytes, number: int) -> FrozenTask:
    line = line.removesuffix(b"\n")
    parse_canonical(line, limit=MAX_LINE_BYTES)
    task = validated_json(FrozenTask, line)
    if task.i != number:
        raise FileUnusable("the committed suite's tasks are out of order", file="committed.jsonl", task=str(number))
    return task


def committed_fields(fields: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return the fields as commitments take them."""
    return {path: (cls, as_json(value)) for path, (cls, value) in fields.items()}


def as_json(value: Any) -> Any:
    """Return a value with lists where the strict models put tuples."""
    if isinstance(value, (list, tuple)):
        return [as_json(item) if isinstance(item, _NESTED) else item for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) if isinstance(item, _NESTED) else item for key, item in value.items()}
    return value
