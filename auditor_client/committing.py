"""Freezes a suite before access: pads it with decoys to a public size and fixes how it will be analysed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import padded_size
from attestations.documents.base import Part, is_none, validated
from attestations.documents.engagement import AnalysisPlan
from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.frozen_suite import ROLES, FrozenQuestion, FrozenSuite, FrozenTask
from auditor_client.home import Home, write_private

DECOY = "decoy"


@dataclass(frozen=True, repr=False)
class Draft:
    """One authored task: its fields as {path: (class, value)} and its question unless it is never sent."""

    fields: Mapping[str, tuple[str, Any]]
    question: FrozenQuestion | None


def freeze(drafts: Sequence[Draft], *, suite_id: str) -> FrozenSuite:
    """Return the suite padded with decoys; every task commits to the same fields, absent ones as null.

    Raises:
        SuiteInvalid: there is no task, or a task that is sent has no question.
    """
    if not drafts:
        raise SuiteInvalid("a suite without tasks", rule="empty")
    shape: dict[str, str] = {}
    for draft in drafts:
        for path, (content_class, _) in draft.fields.items():
            if shape.setdefault(path, content_class) != content_class:
                raise SuiteInvalid("a field is of two classes", rule="class", field=path)
    tasks = [
        FrozenTask(
            i=number,
            fields={path: (cls, draft.fields.get(path, (cls, None))[1]) for path, cls in shape.items()},
            question=draft.question,
        )
        for number, draft in enumerate(drafts)
    ]
    for task in tasks:
        if task.runs and task.question is None:
            raise SuiteInvalid("a task that is sent has no question", rule="question", task=str(task.i))
    for number in range(len(tasks), padded_size(len(tasks))):
        fields = {path: (cls, DECOY if path == "kind" else None) for path, cls in shape.items()}
        tasks.append(FrozenTask(i=number, fields=fields))
    return FrozenSuite(suite_id, tasks)


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
    if home.committed.exists():
        raise FileUnusable(
            f"a suite is already committed in {home.committed.parent}; a new suite needs a new folder",
            path=str(home.committed.parent),
        )
    partial = home.committed.with_suffix(".partial")
    try:
        for unfinished in (home.plan, home.rounds, partial):  # left by a crash before the suite counted as committed
            unfinished.unlink(missing_ok=True)
        write_private(home.plan, plan.to_bytes())
        write_private(home.rounds, canonical_bytes((rounds or Rounds()).json_value()))
        write_private(partial, suite.to_bytes())
        partial.replace(home.committed)  # the suite counts as committed once this name exists
    except OSError as error:
        raise FileUnusable(f"the commitment cannot be written: {error.strerror}", path=str(home.committed)) from None
