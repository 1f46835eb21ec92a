"""How hidden tasks are fixed before access: one salted commitment a field, one leaf a task, one key a class.

Releasing a class key opens that class for every task and nothing else. `docs/spec/commitments.md` is
the normative page.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.digests import lp
from attestations.errors import CommitmentMismatch, MalformedEnvelope, WeakSalt
from attestations.merkle import leaf_hash, merkle_root

ContentClass = Literal["C2", "C3", "C5", "C6", "C7", "C8", "C9"]
CONTENT_CLASSES: frozenset[str] = frozenset(get_args(ContentClass))

KEY_BYTES = 32
SALT_BYTES = 32
MAX_FIELDS = 4096
# Why an exchange may belong to no task; such exchanges are counted and never feed a figure.
AUX_PURPOSES = ("fine_tune", "inspect", "lm-eval", "probe", "sandbox", "scaffold")
SMALLEST_SUITE = 256

Json: TypeAlias = Any
"""A value of plain JSON types that `canonical_bytes` accepts."""

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")
_HEX = re.compile(r"[0-9a-f]{64}")


class SuiteKey:
    """The auditor's secret behind one suite; every salt and chunk key follows from it."""

    __slots__ = ("_classes", "_secret", "suite_id")

    def __init__(self, secret: bytes, suite_id: str) -> None:
        _check_key(secret)
        self._secret = secret
        self._classes: dict[str, ClassKey] = {}
        self.suite_id = suite_id

    @property
    def secret(self) -> bytes:
        """The 32 bytes to keep."""
        return self._secret

    def class_key(self, cls: str) -> ClassKey:
        """Return the key that opens one class."""
        if cls not in self._classes:
            info = b"safeconduct/v1 class" + lp(self.suite_id.encode()) + lp(cls.encode())
            self._classes[cls] = ClassKey(_expand(self._secret, info), self.suite_id, cls)
        return self._classes[cls]

    def __repr__(self) -> str:
        return f"<SuiteKey of {self.suite_id}>"


class ClassKey:
    """The 32-byte secret whose release opens one class of one suite."""

    __slots__ = ("_secret", "cls", "suite_id")

    def __init__(self, secret: bytes, suite_id: str, cls: str) -> None:
        _check_key(secret)
        if cls not in CONTENT_CLASSES:
            raise MalformedEnvelope("a key of a class that is not sealed")
        self._secret = secret
        self.suite_id = suite_id
        self.cls = cast("ContentClass", cls)

    @property
    def secret(self) -> bytes:
        """The 32 bytes that are released."""
        return self._secret

    def task_key(self, i: int) -> bytes:
        """Return the key that opens this class of one task."""
        return _expand(self._secret, b"safeconduct/v1 task" + i.to_bytes(8, "big"))

    def salt(self, i: int, path: str) -> bytes:
        """Return the salt of one field of one task."""
        return task_salt(self.task_key(i), path)

    def link_key(self) -> bytes:
        """Return the key under which the handles of exchanges are made."""
        return _expand(self._secret, b"safeconduct/v1 link")

    def commitment(self) -> str:
        """Return the commitment to this key, as hex; it makes opening under two keys impossible."""
        return hashlib.sha256(b"safeconduct/v1 kc" + self._secret).hexdigest()

    def __repr__(self) -> str:
        return f"<ClassKey {self.cls} of {self.suite_id}>"


class FieldCommitment(NamedTuple):
    """One committed field: its path, its class and the commitment as hex."""

    path: str
    cls: str
    commitment: str


@dataclass(frozen=True)
class TaskLeaf:
    """All commitments of one task, sorted by path."""

    i: int
    fields: tuple[FieldCommitment, ...]

    def to_bytes(self) -> bytes:
        """Return the leaf's only form as bytes."""
        return canonical_bytes({"fields": [list(field) for field in self.fields], "i": self.i})


def parse_task_leaf(data: bytes) -> TaskLeaf:
    """Read a task leaf.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: the bytes are not one.
    """
    value = parse_canonical(data)
    if not isinstance(value, dict) or set(value) != {"fields", "i"}:
        raise MalformedEnvelope("a task leaf holds exactly i and fields")
    i, rows = value["i"], value["fields"]
    if type(i) is not int or i < 0 or not isinstance(rows, list) or len(rows) > MAX_FIELDS:
        raise MalformedEnvelope("a task leaf holds an index and at most 4096 fields")
    fields = tuple(_field(row) for row in rows)
    if any(left.path >= right.path for left, right in pairwise(fields)):
        raise MalformedEnvelope("the fields of a task leaf are sorted by path, each once")
    return TaskLeaf(i, fields)


def _field(row: object) -> FieldCommitment:
    if isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row):  # noqa: PLR2004
        path, cls, commitment = row
        if _PATH.fullmatch(path) and cls in CONTENT_CLASSES and _HEX.fullmatch(commitment):
            return FieldCommitment(path, cls, commitment)
    raise MalformedEnvelope("a field of a task leaf is a path, a class and a commitment")


def task_salt(task_key: bytes, path: str) -> bytes:
    """Return the salt of one field under the key of one class of one task (what a random sample releases)."""
    return _expand(task_key, _salt_info(path))


def field_commitment(*, suite_id: str, i: int, path: str, cls: str, salt: bytes, value: Json) -> str:
    """Return the commitment to one field, as hex.

    Index, path and class are inside the hash, so a commitment cannot move to another place.

    Raises:
        WeakSalt: the salt is not 32 bytes.
        NonCanonicalDocument: the value has no canonical form.
    """
    if len(salt) != SALT_BYTES:
        raise WeakSalt("a salt that is not 32 bytes", path=path, task=str(i))
    return _commitment(_task_prefix(suite_id, i), path, cls, salt, canonical_bytes(value))


def commit_field(class_key: ClassKey, i: int, path: str, value: Json) -> str:
    """Return the commitment to one field under its derived salt, as hex."""
    return field_commitment(
        suite_id=class_key.suite_id, i=i, path=path, cls=class_key.cls, salt=class_key.salt(i, path), value=value
    )


def commit_task(suite_key: SuiteKey, i: int, fields: Mapping[str, tuple[str, Json]]) -> TaskLeaf:
    """Return the leaf of one task; `fields` maps each path to its class and value.

    Raises:
        MalformedEnvelope: a path that no leaf may hold, or too many of them.
        NonCanonicalDocument: a value has no canonical form.
    """
    return commit_encoded(suite_key, i, {path: (cls, canonical_bytes(value)) for path, (cls, value) in fields.items()})


def commit_encoded(suite_key: SuiteKey, i: int, fields: Mapping[str, tuple[str, bytes]]) -> TaskLeaf:
    """Return the leaf of one task whose values are already in their canonical form.

    Raises:
        MalformedEnvelope: a path that no leaf may hold, or too many of them.
    """
    if len(fields) > MAX_FIELDS or not all(_PATH.fullmatch(path) for path in fields):
        raise MalformedEnvelope("a field path is 1 to 256 ASCII letters, digits and ._:/@+-", task=str(i))
    keys = {cls: suite_key.class_key(cls).task_key(i) for cls in {cls for cls, _ in fields.values()}}
    prefix = _task_prefix(suite_key.suite_id, i)
    return TaskLeaf(
        i,
        tuple(
            FieldCommitment(path, cls, _commitment(prefix, path, cls, task_salt(keys[cls], path), encoded))
            for path, (cls, encoded) in sorted(fields.items())
        ),
    )


def suite_root(leaves: Iterable[TaskLeaf]) -> str:
    """Return the Merkle root over the leaves of a suite, as hex.

    Raises:
        CommitmentMismatch: the leaves are not those of tasks 0, 1, 2 ... in order.
    """

    def hashes() -> Iterable[bytes]:
        for number, leaf in enumerate(leaves):
            if leaf.i != number:
                raise CommitmentMismatch("the leaves of a suite are out of order", task=str(number))
            yield leaf_hash(leaf.to_bytes())

    return merkle_root(hashes()).hex()


def check_field(class_key: ClassKey, leaf: TaskLeaf, path: str, value: Json) -> None:
    """Check an opened field against its leaf.

    Raises:
        CommitmentMismatch: the leaf holds no such field of this class, or another value.
    """
    for field in leaf.fields:
        if field.path == path and field.cls == class_key.cls:
            if commit_field(class_key, leaf.i, path, value) == field.commitment:
                return
            break
    raise CommitmentMismatch(
        "an opened field is not what was committed to", task=str(leaf.i), content_class=class_key.cls
    )


class FreshSalts:
    """Takes salts that someone else chose (ours are derived and cannot repeat) and refuses weak ones."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def take(self, salt: bytes, /, **facts: str) -> None:
        """Take one more salt; `facts` say where it stands.

        Raises:
            WeakSalt: it is not 32 bytes, or was used before.
        """
        if len(salt) != SALT_BYTES:
            raise WeakSalt("a salt that is not 32 bytes", **facts)
        start = salt[:16]  # tells two random salts apart, and an audit can have a hundred thousand
        if start in self._seen:
            raise WeakSalt("a salt is used twice", **facts)
        self._seen.add(start)


def check_salts(salts: Iterable[bytes]) -> None:
    """Check salts that someone else chose.

    Raises:
        WeakSalt: one is not 32 bytes, or is used twice.
    """
    fresh = FreshSalts()
    for number, salt in enumerate(salts):
        fresh.take(salt, salt=str(number))


def handle(link_key: bytes, *, task: int, arm: str, epoch: int, attempt: int, step: int = 0) -> str:
    """Return the name, as hex, under which the lab sees one step of one attempt at one task.

    It is opaque without the link key. Step 0 is the only one of a task that takes one exchange.
    """
    place = task.to_bytes(8, "big") + lp(arm.encode()) + epoch.to_bytes(8, "big") + attempt.to_bytes(8, "big")
    if step:
        place += step.to_bytes(8, "big")
    return hmac.digest(link_key, place, "sha256").hex()


def aux_handle(link_key: bytes, *, purpose: str, number: int) -> str:
    """Return the name, as hex, of an exchange that belongs to no task: the `number`-th of its purpose, from 0."""
    # No task is of this number: its first eight bytes are those of the label.
    place = b"safeconduct/v1 aux" + lp(purpose.encode()) + number.to_bytes(8, "big")
    return hmac.digest(link_key, place, "sha256").hex()


def padded_size(tasks: int) -> int:
    """Return the public size of a suite: 256, 512, 1024 ...; the difference is filled with decoys."""
    size = SMALLEST_SUITE
    while size < tasks:
        size *= 2
    return size


def _task_prefix(suite_id: str, i: int) -> bytes:
    return b"safeconduct/v1 field\0" + lp(suite_id.encode()) + i.to_bytes(8, "big")


def _commitment(prefix: bytes, path: str, cls: str, salt: bytes, encoded: bytes) -> str:
    return hashlib.sha256(prefix + _place(path, cls) + salt + hashlib.sha256(encoded).digest()).hexdigest()


# A suite has the same few fields in every task.
@lru_cache(maxsize=MAX_FIELDS)
def _place(path: str, cls: str) -> bytes:
    return lp(path.encode()) + lp(cls.encode())


@lru_cache(maxsize=MAX_FIELDS)
def _salt_info(path: str) -> bytes:
    return b"safeconduct/v1 salt" + lp(path.encode())


def _expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, SHA-256) to 32 bytes: one block, so one HMAC."""
    return hmac.digest(key, info + b"\x01", "sha256")


def _check_key(secret: bytes) -> None:
    if len(secret) != KEY_BYTES:
        raise MalformedEnvelope("a key of a suite or class is 32 bytes")
