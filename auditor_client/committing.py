"""Freezes a suite before access: pads it with decoys to a public size and fixes how it will be analysed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SuiteKey, commit_encoded, padded_size
from attestations.documents.base import Part, is_none, validated
from attestations.documents.planning import AnalysisPlan
from attestations.errors import FileUnusable, SuiteInvalid
from attestations.files import because
from attestations.merkle import Frontier, leaf_hash
from auditor_client.frozen_suite import (
    ROLES,
    FrozenQuestion,
    FrozenSuite,
    FrozenTask,
    encoded_line,
    first_line,
)
from auditor_client.home import Home, new_private, write_private

DECOY = "decoy"


@dataclass(frozen=True, repr=False)
class Draft:
    """One authored task: its fields as {path: (class, value)} and its question unless it is never sent."""

    fields: Mapping[str, tuple[str, Any]]
    question: FrozenQuestion | None


def freeze(drafts: Iterable[Draft], *, suite_id: str) -> FrozenSuite:
    """Return the suite padded with decoys; every task commits to the same fields, absent ones as null.

    Raises:
        SuiteInvalid: there is no task, or a task that is sent has no question.
    """
    drafts = list(drafts)
    shape: dict[str, str] = {}
    for draft in drafts:
        _check_classes(draft, shape)
        for path, (content_class, _) in draft.fields.items():
            shape.setdefault(path, content_class)
    tasks = [_frozen(number, draft, shape) for number, draft in enumerate(_padded(drafts, shape))]
    return FrozenSuite(suite_id, tasks)


class Summary(NamedTuple):
    """What became of a suite that was written down: its public size, its root, and how many tasks count."""

    tasks: int
    scored: int
    root: str


def write_frozen(path: Path, drafts: Iterable[Draft], *, key: SuiteKey) -> Summary:
    """Freeze a suite of any size into a new private file, one task at a time; its name is the key's.

    The first task's fields are those of every task: unlike `freeze`, this cannot look ahead.

    Raises:
        SuiteInvalid: there is no task, a task that is sent has no question, or a field stands in a later task only.
        OSError: the file cannot be written.
    """
    frontier, counts, shape = Frontier(), Counter[str](), dict[str, str]()

    def checked() -> Iterator[Draft]:
        for draft in drafts:
            shape.update({} if shape else {field: cls for field, (cls, _) in draft.fields.items()})
            _check_classes(draft, shape)
            if not draft.fields.keys() <= shape.keys():
                raise SuiteInvalid("a field that the first task does not have", rule="shape")
            yield draft

    with new_private(path) as file:
        file.write(first_line(key.suite_id))
        for number, draft in enumerate(_padded(checked(), shape)):
            task = _frozen(number, draft, shape)
            counts[ROLES.get(task.kind, "none")] += 1
            counts["all"] += 1
            encoded = {field: (cls, canonical_bytes(value)) for field, (cls, value) in task.fields.items()}
            file.write(encoded_line(task, encoded))
            frontier.append(leaf_hash(commit_encoded(key, number, encoded).to_bytes()))
    return Summary(counts["all"], counts["test"], frontier.root().hex())


def _padded(drafts: Iterable[Draft], shape: Mapping[str, str]) -> Iterator[Draft]:
    number = 0
    for number, draft in enumerate(drafts, start=1):  # noqa: B007 - the last number is how many there were
        yield draft
    if not number:
        raise SuiteInvalid("a suite without tasks", rule="empty")
    decoy = Draft({path: (cls, DECOY if path == "kind" else None) for path, cls in shape.items()}, None)
    for _ in range(number, padded_size(number)):
        yield decoy


def _frozen(number: int, draft: Draft, shape: Mapping[str, str]) -> FrozenTask:
    fields = {path: (cls, draft.fields.get(path, (cls, None))[1]) for path, cls in shape.items()}
    # Built from values that are models already; what is read back is validated.
    task = FrozenTask.model_construct(i=number, fields=fields, question=draft.question)
    if task.runs and task.question is None:
        raise SuiteInvalid("a task that is sent has no question", rule="question", task=str(number))
    return task


def _check_classes(draft: Draft, shape: Mapping[str, str]) -> None:
    for path, (content_class, _) in draft.fields.items():
        if shape.get(path, content_class) != content_class:
            raise SuiteInvalid("a field is of two classes", rule="class", field=path)


def scored(suite: FrozenSuite) -> list[int]:
    """Return the tasks that count towards the figures, or would if they were drawn."""
    return [task.i for task in suite.tasks if ROLES.get(task.kind) == "test"]


class Rounds(Part):
    """How often each task is asked, how many exchanges one answer may take, and how many scored tasks are drawn."""

    epochs: int = Field(default=1, ge=1, le=1000)
    max_attempts: int = Field(default=5, ge=1, le=100)
    draw: int | None = Field(default=None, ge=1, exclude_if=is_none)


def read_rounds(home: Home) -> Rounds:
    """Return the rounds that were committed to."""
    return validated(Rounds, parse_canonical(home.read(home.rounds)))


def write_commitment(home: Home, suite: FrozenSuite, plan: AnalysisPlan, rounds: Rounds | None = None) -> None:
    """Write the frozen suite, the plan and the rounds, once and for all.

    Raises:
        FileUnusable: a suite is already committed, or the files cannot be written.
    """
    with committing(home) as partial:
        with new_private(partial) as file:
            file.writelines(suite.lines())
        write_terms(home, plan, rounds or Rounds())


def write_terms(home: Home, plan: AnalysisPlan, rounds: Rounds) -> None:
    """Write the plan and the rounds of a commitment that is being made."""
    write_private(home.plan, plan.to_bytes())
    write_private(home.rounds, canonical_bytes(rounds.json_value()))


@contextmanager
def committing(home: Home) -> Iterator[Path]:
    """Give the file to write the frozen suite into; it counts as committed once the block has ended well.

    Raises:
        FileUnusable: a suite is already committed, or the files cannot be written.
    """
    if home.committed.exists():
        raise FileUnusable(
            f"a suite is already committed in {home.committed.parent}; a new suite needs a new folder",
            path=str(home.committed.parent),
        )
    partial = home.committed.with_suffix(".partial")
    try:
        for unfinished in (home.plan, home.rounds, partial):  # left by a crash before the suite counted as committed
            unfinished.unlink(missing_ok=True)
        yield partial
        partial.replace(home.committed)  # the suite counts as committed once this name exists
    except OSError as error:
        raise FileUnusable(f"the commitment cannot be written: {because(error)}", path=str(home.committed)) from None
    finally:
        partial.unlink(missing_ok=True)
