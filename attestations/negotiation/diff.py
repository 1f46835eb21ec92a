"""What has changed between two versions of an agreement, or between a lab's terms and an offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from attestations.documents.agreement import Agreement, Terms
from attestations.negotiation.lines import HEADINGS, Line, lines
from attestations.plain import plain


class Difference(NamedTuple):
    """One field that is not the same; `before` or `after` is None where the field is not there."""

    heading: str
    path: str
    name: str
    before: str | None
    after: str | None


def differences(before: Agreement | Terms, after: Agreement) -> tuple[Difference, ...]:
    """Return every field in which `after` differs from `before`, in the order a person reads them.

    Terms say nothing about other parties, the log's name or witnesses: what they leave open is no difference.
    """
    theirs = {line.path: line for line in lines(before)}
    ours = {line.path: line for line in lines(after) if not isinstance(before, Terms) or _in_terms(line, before)}
    order = list(HEADINGS.values())
    found = [
        Difference(line.heading, path, line.name, _value(theirs.get(path)), _value(ours.get(path)))
        for path, line in {**theirs, **ours}.items()
        if _value(theirs.get(path)) != _value(ours.get(path))
    ]
    return tuple(sorted(found, key=lambda item: order.index(item.heading) if item.heading in order else len(order)))


def diff_page(found: Sequence[Difference]) -> list[str]:
    """Return differences as text, grouped by heading."""
    return [plain(line) for line in _grouped(found)] if found else ["  no differences"]


def _grouped(found: Sequence[Difference]) -> Iterator[str]:
    heading = ""
    for item in found:
        if item.heading != heading:
            heading = item.heading
            yield f"  {heading}"
        if item.before is None:
            yield f"    + {item.name}: {item.after}"
        elif item.after is None:
            yield f"    - {item.name}: {item.before}"
        else:
            yield f"    {item.name}: {item.before} -> {item.after}"


def _in_terms(line: Line, terms: Terms) -> bool:
    fields = terms.json_value()
    root = line.path.split(".", 1)[0].split("[", 1)[0]
    if root == "parties":
        return line.path.startswith(f"parties[{terms.lab.id}]")
    return line.path == "transport.gateway" or root in fields


def _value(line: Line | None) -> str | None:
    return None if line is None else line.value
