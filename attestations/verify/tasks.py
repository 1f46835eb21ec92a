"""Step 10, tasks: suite leaves, grade leaves and the packages of tasks read side by side, one task at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from attestations.canonical import parse_canonical
from attestations.commitments import ClassKey, TaskLeaf, check_field, parse_task_leaf
from attestations.container import Container
from attestations.documents.base import validated
from attestations.documents.engagement import PreRegistration
from attestations.errors import (
    CommitmentMismatch,
    DecoyScored,
    EvidenceMissing,
    HazardFieldExposed,
    MalformedEnvelope,
    ReleasedContentMismatch,
    ScoreMismatch,
    SizeLimitExceeded,
    UnaccountedTask,
)
from attestations.grades import GradeRow, GradeValue, grouping
from attestations.merkle import Frontier, leaf_hash
from attestations.verify.packages import PackageReader

SUITE, GRADES = "suite-leaves.jsonl", "grade-leaves.jsonl"
GRADE_CLASS = "C3"
MAX_TASKS = 1 << 20
Place = tuple[int, str, int]


@dataclass
class Tasks:
    """What the opened classes say about every task; texts stay in their packages and are opened again when needed."""

    registration: PreRegistration
    readers: Mapping[str, PackageReader]
    rows: dict[Place, GradeRow] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    values: dict[GradeValue, GradeValue] = field(default_factory=dict)

    def fields(self, content_class: str, i: int) -> dict[str, Any]:
        """Return the opened fields of one class of one task.

        Raises:
            EvidenceMissing: the class is not open.
        """
        reader = self.readers.get(content_class)
        if reader is None:
            raise EvidenceMissing(f"{content_class} is not open", content_class=content_class)
        return _fields(reader.chunk(i), i)


def leaf_lines(container: Container, name: str, *, count: int, root: str) -> Iterator[tuple[int, bytes]]:
    """Give the numbered leaves of a member; the last step checks them against the signed root.

    Raises:
        CommitmentMismatch: they are not those that were committed to.
        SizeLimitExceeded: there are more.
    """
    if name not in container.names:
        raise EvidenceMissing(f"{name} is missing", member=name)
    frontier = Frontier()
    for number, line in enumerate(container.lines(name)):
        if number >= min(count, MAX_TASKS):
            raise SizeLimitExceeded(f"{name} holds more tasks than were committed to", member=name)
        frontier.append(leaf_hash(line))
        yield number, line
    if frontier.size != count or frontier.root().hex() != root:
        raise CommitmentMismatch(f"{name} is not what was committed to", member=name)


class Shape:
    """The paths and classes that every task of a suite has alike, so that leaves tell no task from another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shape: tuple[tuple[str, str], ...] | None = None

    def leaf(self, number: int, line: bytes) -> TaskLeaf:
        """Return the leaf of a task.

        Raises:
            CommitmentMismatch: it is out of order, or has other fields than the task before.
        """
        leaf = parse_task_leaf(line)
        shape = tuple((item.path, item.cls) for item in leaf.fields)
        if self._shape is None:
            self._shape = shape
        if leaf.i != number or shape != self._shape:
            raise CommitmentMismatch(f"{self._name}: a task is out of order or has other fields", task=str(number))
        return leaf

    @property
    def classes(self) -> frozenset[str]:
        """The classes of the fields."""
        return frozenset(cls for _, cls in self._shape or ())


def read_tasks(
    tasks: Tasks,
    keys: Mapping[str, ClassKey],
    suite: Iterator[tuple[int, bytes]],
    grades: Iterator[tuple[int, bytes]],
    *,
    graded: bool,
) -> None:
    """Open every class of `tasks.readers`, comparing each field with its commitment.

    Args:
        tasks: is filled.
        keys: the key of each class.
        suite: the suite's numbered leaves after the first classes were read, see `leaf_lines`.
        grades: the numbered leaves of the grades.
        graded: whether grades were committed.

    Raises:
        CommitmentMismatch, ReleasedContentMismatch, HazardFieldExposed, UnaccountedTask, DecoyScored, ScoreMismatch.
    """
    suite_shape, grade_shape = Shape(SUITE), Shape(GRADES)
    expected = _grade_paths(tasks.registration)
    chunks = {cls: reader.chunks() for cls, reader in tasks.readers.items()}
    for number, line in suite:
        leaf = suite_shape.leaf(number, line)
        grade_leaf = grade_shape.leaf(*next(grades, (number, b""))) if graded else None
        if grade_leaf is not None and [item[:2] for item in grade_leaf.fields] != [(p, GRADE_CLASS) for p in expected]:
            raise UnaccountedTask("a task is not graded once for each arm and epoch", task=str(number))
        for cls, opened in chunks.items():
            chunk = next(opened, None)
            if chunk is None:
                raise ReleasedContentMismatch(f"the {cls} package ends before the suite", task=str(number))
            fields = _fields(chunk, number)
            _check_fields(keys[cls], fields, leaf, grade_leaf, number)
            _keep(tasks, cls, number, fields, expected)
    for _ in grades:
        pass
    for cls, opened in chunks.items():
        if next(opened, None) is not None:
            raise ReleasedContentMismatch(f"the {cls} package holds more tasks than the suite")


def _grade_paths(registration: PreRegistration) -> dict[str, tuple[str, int]]:
    places = {
        f"grade/{arm}/{epoch}": (sys.intern(arm), epoch)
        for arm in registration.arms
        for epoch in range(registration.epochs_of(arm))
    }
    return dict(sorted(places.items()))


def _fields(chunk: bytes, number: int) -> dict[str, Any]:
    value = parse_canonical(chunk)
    if not isinstance(value, dict) or value.keys() != {"i", "fields"} or not isinstance(value["fields"], dict):
        raise MalformedEnvelope("a task chunk holds exactly i and fields")
    if type(value["i"]) is not int or value["i"] != number:
        raise ReleasedContentMismatch("a task chunk is out of order", task=str(number))
    fields: dict[str, Any] = value["fields"]
    return fields


def _check_fields(key: ClassKey, fields: dict[str, Any], leaf: TaskLeaf, grades: TaskLeaf | None, number: int) -> None:
    committed = {item.path: leaf for item in leaf.fields if item.cls == key.cls}
    if grades is not None and key.cls == GRADE_CLASS:
        committed |= {item.path: grades for item in grades.fields}
    if fields.keys() != committed.keys():
        classes = {item.path: item.cls for item in leaf.fields}
        if any(classes.get(path) == "C9" for path in fields):
            raise HazardFieldExposed(f"a hazardous field is in the {key.cls} package", task=str(number))
        raise ReleasedContentMismatch(f"the {key.cls} package does not hold exactly its fields", task=str(number))
    for path, value in fields.items():
        check_field(key, committed[path], path, value)


def _keep(tasks: Tasks, cls: str, number: int, fields: dict[str, Any], places: Mapping[str, tuple[str, int]]) -> None:
    if cls == "C5":
        tasks.kinds.append(sys.intern(str(fields.get("kind"))))
    if cls != GRADE_CLASS:
        return
    category = sys.intern(str(fields.get("category")))
    cluster, group = grouping(fields.get("metadata"))
    for path, (arm, epoch) in places.items():
        if path not in fields:
            continue
        value = _grade_value(fields[path], number)
        # A hundred thousand grades have a handful of values: equal ones share one object.
        value = tasks.values.setdefault(value, value)
        tasks.rows[number, arm, epoch] = GradeRow(number, arm, epoch, category, value, cluster, group)


def _grade_value(value: Any, number: int) -> GradeValue:
    grade = validated(GradeValue, value)
    if (grade.score == "1") != (grade.outcome == "correct"):
        raise ScoreMismatch("a score does not follow from its outcome", task=str(number))
    if (grade.outcome == "not_run") != (grade.role == "none"):
        raise DecoyScored("exactly an item without a role is not run", task=str(number))
    return grade
