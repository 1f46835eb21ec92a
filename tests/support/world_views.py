"""Views of the made-up audit: its fields line by line, each open or closed as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attestations.canonical import parse_canonical
from attestations.documents.asking import request_commitment, result_commitment
from attestations.views import Hole, Opening
from tests.support.world_suite import Task

if TYPE_CHECKING:
    from tests.support.world_disclosure import Disclosure

Closed = Callable[[int, str], tuple[str, str] | None]
"""Why, and by whom, a field (task, path) is closed; None where it is open."""


def nothing(_: int, __: str) -> None:
    """Close nothing."""
    return


def paths(*closed: str, reason: str = "SECURITY", by: str = "auditor") -> Closed:
    """Close these paths of every task."""
    return lambda _, path: (reason, by) if path in closed else None


def all_but(*tasks: int, reason: str = "NOT_IN_SCOPE", by: str = "auditor") -> Closed:
    """Close every task but these."""
    return lambda i, _: None if i in tasks else (reason, by)


def view_lines(disclosure: Disclosure, content_class: str, closed: Closed) -> list[bytes]:
    """Return the lines of one class."""
    made = _transcripts(disclosure) if content_class == "C7" else _fields(disclosure, content_class)
    lines = []
    for opening, commitment in made:
        why = closed(opening.i, opening.path)
        if why is None:
            lines.append(opening.to_line())
        else:
            lines.append(Hole(content_class, opening.i, opening.path, commitment, *why).to_line())
    return lines


def _fields(disclosure: Disclosure, content_class: str) -> Iterator[tuple[Opening, str]]:
    from attestations.commitments import commit_field

    key = disclosure.key.class_key(content_class)
    grades: dict[int, dict[str, Any]] = {}
    for row in disclosure.rows if content_class == "C3" else ():
        grades.setdefault(row.task, {})[f"grade/{row.arm}/{row.epoch}"] = row.value.json_value()
    tasks: list[Task] = disclosure.tasks
    for task in tasks:
        for path, value in sorted((task.of_class(content_class) | grades.get(task.i, {})).items()):
            opening = Opening(content_class, task.i, path, key.salt(task.i, path), value)
            yield opening, commit_field(key, task.i, path, value)


def _transcripts(disclosure: Disclosure) -> Iterator[tuple[Opening, str]]:
    for number, made in enumerate(disclosure.run.opened):
        request = disclosure.run._request(disclosure.tasks[disclosure.run.exchanges[made.number].task])
        result = parse_canonical(made.result.to_bytes())
        yield (
            Opening("C7", number, "request", made.request_salt, made.request),
            request_commitment(request, made.request_salt),
        )
        yield (
            Opening("C7", number, "result", made.result_salt, result),
            result_commitment(made.result, made.result_salt),
        )
