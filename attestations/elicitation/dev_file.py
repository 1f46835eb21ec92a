"""The file in which the auditor opens its DEV tasks to the lab: nothing else, and each field proved to be registered.

One line of JSON each: a header, then for every DEV task its leaf with a proof that it is of the registered suite,
and its opened fields. `docs/spec/elicitation.md` is the normative page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import TaskLeaf, field_commitment, parse_task_leaf
from attestations.documents.base import decode, encode
from attestations.documents.engagement import RegisteredSuite
from attestations.errors import CommitmentMismatch, MalformedEnvelope, SizeLimitExceeded
from attestations.merkle import leaf_hash, verify_inclusion
from attestations.views import Opening, parse_line

KIND = "dev"
OPENED = ("C5", "C6")
MAX_FILE_BYTES = 64 << 20
_HEAD = {"agreement", "root", "suite", "tasks", "v"}
_VERSION = "safeconduct-dev/v1"


@dataclass(frozen=True, repr=False)
class DevTask:
    """One disclosed task: its index, and its fields of classes C5 and C6."""

    i: int
    fields: Mapping[str, Any]


def dev_lines(
    agreement: str, suite: RegisteredSuite, tasks: Iterable[tuple[TaskLeaf, tuple[bytes, ...], list[Opening]]]
) -> bytes:
    """Return the file; each task is its leaf, its inclusion proof and its openings."""
    rows = list(tasks)
    head = {"agreement": agreement, "root": suite.root, "suite": suite.id, "tasks": suite.tasks, "v": _VERSION}
    lines = [canonical_bytes(head)]
    for leaf, proof, openings in rows:
        lines.append(canonical_bytes({"leaf": encode(leaf.to_bytes()), "proof": [part.hex() for part in proof]}))
        lines += [opening.to_line() for opening in sorted(openings, key=lambda item: (item.cls, item.path))]
    return b"".join(line + b"\n" for line in lines)


def read_dev(data: bytes, agreement: str, suite: RegisteredSuite) -> list[DevTask]:
    """Return the disclosed tasks once every field is proved to be of the registered suite.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, SizeLimitExceeded: the file is not of its form.
        CommitmentMismatch: it is of another agreement or suite, opens a task that is no DEV task or another value
            than was committed to, or leaves a field out.
        InclusionProofInvalid: a leaf is not of the registered suite.
        WeakSalt: a salt is short.
    """
    if len(data) > MAX_FILE_BYTES:
        raise SizeLimitExceeded("a file of DEV tasks holds at most 64 MiB")
    lines = iter(data.split(b"\n")[:-1])
    head = parse_canonical(next(lines, b""))
    if not isinstance(head, dict) or head.keys() != _HEAD or head["v"] != _VERSION:
        raise MalformedEnvelope("not a file of DEV tasks")
    if (head["agreement"], head["root"], head["suite"]) != (agreement, suite.root, suite.id):
        raise CommitmentMismatch("these DEV tasks are of another agreement or suite")
    tasks = list(_tasks(lines, suite))
    if [task.i for task in tasks] != sorted({task.i for task in tasks}) or not tasks:
        raise MalformedEnvelope("DEV tasks stand in their order, each once")
    return tasks


def _tasks(lines: Iterator[bytes], suite: RegisteredSuite) -> Iterator[DevTask]:
    line = next(lines, None)
    while line is not None:
        leaf = _leaf(line, suite)
        expected = {item.path: item for item in leaf.fields if item.cls in OPENED}
        fields: dict[str, Any] = {}
        while (line := next(lines, None)) is not None and not line.startswith(b'{"leaf":'):
            opening = parse_line(line)
            item = expected.get(opening.path)
            if not isinstance(opening, Opening) or item is None or (opening.i, opening.cls) != (leaf.i, item.cls):
                raise CommitmentMismatch("a field that does not belong to its DEV task", task=str(leaf.i))
            committed = field_commitment(
                suite_id=suite.id, i=leaf.i, path=opening.path, cls=opening.cls, salt=opening.salt, value=opening.value
            )
            if committed != item.commitment:
                raise CommitmentMismatch("a DEV task is not what was committed to", task=str(leaf.i))
            fields[opening.path] = opening.value
        if fields.keys() != expected.keys():
            raise CommitmentMismatch("a field of a DEV task is left out", task=str(leaf.i))
        if fields.get("kind") != KIND:
            raise CommitmentMismatch("a task is disclosed that is no DEV task", task=str(leaf.i))
        yield DevTask(leaf.i, fields)


def _leaf(line: bytes, suite: RegisteredSuite) -> TaskLeaf:
    value = parse_canonical(line)
    if not isinstance(value, dict) or value.keys() != {"leaf", "proof"} or not isinstance(value["proof"], list):
        raise MalformedEnvelope("a DEV task begins with its leaf and its proof")
    try:
        data, proof = decode(value["leaf"]), [bytes.fromhex(part) for part in value["proof"]]
    except (ValueError, TypeError):
        raise MalformedEnvelope("a leaf is base64, its proof hex") from None
    leaf = parse_task_leaf(data)
    verify_inclusion(leaf=leaf_hash(data), index=leaf.i, size=suite.tasks, proof=proof, root=bytes.fromhex(suite.root))
    return leaf
