"""Step 10, views: every field of a class opened field by field is there, open or closed, as it was committed to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain, groupby
from typing import NamedTuple, NoReturn

from attestations.commitments import TaskLeaf, field_commitment, parse_task_leaf
from attestations.container import Container
from attestations.documents.asking import OneRequest, OneResult, request_commitment, result_commitment
from attestations.documents.base import Part, validated
from attestations.errors import (
    CommitmentMismatch,
    HazardFieldExposed,
    MalformedEnvelope,
    RedactionNotAllowed,
    ReleasedContentMismatch,
)
from attestations.ledger import Ledger
from attestations.statement_checks import check_right
from attestations.verify.tally import Tally
from attestations.verify.tasks import GRADE_CLASS, GRADES, SUITE, leaf_lines
from attestations.verify.transcript import Transcript
from attestations.views import MEMBER, TRANSCRIPTS, VIEWED_CLASSES, Counted, Hole, Opening, parse_view

Item = Opening | Hole


class Viewed(NamedTuple):
    """One class as the file opens it field by field."""

    counted: Counted
    digest: str
    tasks: frozenset[int]  # with an open field


class _Request(Part):
    value: OneRequest


class _Result(Part):
    value: OneResult


def read_views(container: Container, transcript: Transcript) -> dict[str, Viewed]:
    """Return every class the file opens field by field, each compared with its commitments.

    Raises:
        CommitmentMismatch, ReleasedContentMismatch, HazardFieldExposed, RedactionNotAllowed, WeakSalt,
        MalformedEnvelope.
    """
    if MEMBER not in container.names:
        return {}
    views: dict[str, Viewed] = {}
    for cls, items in groupby(parse_view(container.lines(MEMBER)), key=lambda item: item.cls):
        if cls == "C2":
            raise RedactionNotAllowed("nobody may keep overall figures closed", content_class=cls)
        if cls not in VIEWED_CLASSES:
            raise MalformedEnvelope("a view of a class without fields", content_class=cls)
        views[cls] = _compared(cls, items, _expected(cls, container, transcript), transcript)
    if not views:
        raise MalformedEnvelope("a view without lines", member=MEMBER)
    return views


class _Row(NamedTuple):
    """What one task, or one transcript, commits to in a class, and the class of everything else in it."""

    i: int
    fields: Mapping[str, str]
    classes: Mapping[str, str]


def _expected(cls: str, container: Container, transcript: Transcript) -> Iterator[_Row]:
    if cls == TRANSCRIPTS:
        return _transcripts(transcript.exchanges.tally)
    return _tasks(cls, container, transcript)


def _transcripts(tally: Tally) -> Iterator[_Row]:
    for number in range(tally.answers):
        answer = tally.answer(number)
        yield _Row(number, {"request": answer.request.hex(), "result": answer.result.hex()}, {})


def _tasks(cls: str, container: Container, transcript: Transcript) -> Iterator[_Row]:
    registration, grades = transcript.registration, transcript.grades
    if registration is None:
        raise ReleasedContentMismatch("a view of a suite that is not registered")
    suite = leaf_lines(container, SUITE, count=registration.suite.tasks, root=registration.suite.root)
    graded: Iterator[tuple[int, bytes]] = iter(())
    if cls == GRADE_CLASS and grades is not None:
        graded = leaf_lines(container, GRADES, count=grades.tasks, root=grades.root)
    for number, line in suite:
        leaf = parse_task_leaf(line)
        leaves: tuple[TaskLeaf, ...] = (leaf,)
        second = next(graded, None)
        if second is not None:
            leaves = (leaf, parse_task_leaf(second[1]))
        fields = list(chain.from_iterable(item.fields for item in leaves))
        mine = {item.path: item.commitment for item in fields if item.cls == cls}
        yield _Row(number, dict(sorted(mine.items())), {item.path: item.cls for item in fields})
    for _ in graded:  # its last step checks the root
        pass


def _compared(cls: str, items: Iterator[Item], expected: Iterator[_Row], transcript: Transcript) -> Viewed:
    counted, digest, tasks = Counted(), hashlib.sha256(), set()
    for row in expected:
        for path, commitment in row.fields.items():
            item = next(items, None)
            if item is None or (item.i, item.path) != (row.i, path):
                _explain(cls, item, row)
            _check(item, commitment, transcript)
            counted.add(item)
            digest.update(item.to_line() + b"\n")
            if isinstance(item, Opening):
                tasks.add(row.i)
    left = next(items, None)
    if left is not None:
        raise ReleasedContentMismatch(f"the view of {cls} holds more than was committed to", content_class=cls)
    return Viewed(counted, digest.hexdigest(), frozenset(tasks))


def _explain(cls: str, item: Item | None, row: _Row) -> NoReturn:
    if item is not None and item.i == row.i and row.classes.get(item.path) == "C9" and cls != "C9":
        raise HazardFieldExposed(f"a hazardous field is in the view of {cls}", task=str(row.i))
    raise ReleasedContentMismatch(
        f"the view of {cls} does not account for every field", content_class=cls, task=str(row.i)
    )


def _check(item: Item, commitment: str, transcript: Transcript) -> None:
    facts = {"task": str(item.i), "content_class": item.cls}
    if isinstance(item, Hole):
        if item.commitment != commitment:
            raise CommitmentMismatch("a closed field names another commitment than its own", **facts)
        _check_closer(item, transcript.ledger)
        return
    if opened_commitment(item, transcript) != commitment:
        if item.cls == TRANSCRIPTS:
            raise ReleasedContentMismatch("an open transcript is not the one both sides signed", **facts)
        raise CommitmentMismatch("an opened field is not what was committed to", **facts)


def _check_closer(item: Hole, ledger: Ledger) -> None:
    check_right(item.by, item.cls)
    if item.by != "auditor" and not ledger.redacted_by(item.by, item.cls, item.path):
        raise RedactionNotAllowed(
            f"the {item.by} never asked for this field to be closed", task=str(item.i), role=item.by
        )


def opened_commitment(item: Opening, transcript: Transcript) -> str:
    """Return the commitment that an open field gives, whether or not it is the registered one."""
    if item.cls != TRANSCRIPTS:
        suite = transcript.registration.suite.id if transcript.registration is not None else ""
        return field_commitment(
            suite_id=suite, i=item.i, path=item.path, cls=item.cls, salt=item.salt, value=item.value
        )
    if item.path == "request":
        return request_commitment(validated(_Request, {"value": item.value}).value, item.salt)
    return result_commitment(validated(_Result, {"value": item.value}).value, item.salt)
