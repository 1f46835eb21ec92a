"""What a person may choose about an import, and how a reader goes through its items."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable
from auditor_client.suites.importers.mapping import Mapping

Scoring = Literal["sum", "normalised", "letter"]
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Options:
    """Choices that a reader may heed; None is the format's own way."""

    scoring: Scoring | None = None
    metric: str | None = None
    mapping: Mapping | None = None


def each(
    items: Iterable[tuple[int, Any] | LeftOut], make: Callable[[int, Any], Candidate]
) -> Iterator[Candidate | LeftOut]:
    """Give what `make` makes of every item, or why it makes nothing."""
    for item in items:
        if isinstance(item, LeftOut):
            yield item
            continue
        try:
            yield make(*item)
        except Unusable as reason:
            yield LeftOut(item[0], reason.rule)


def name_of(text: str, *, most: int = 80) -> str:
    """Return a text as a name of the suite format."""
    return _NOT_OF_A_NAME.sub("-", text).strip("-._+")[:most].rstrip("-._+") or "unnamed"


def stem(file: str) -> str:
    """Return the name of a file without its folders and endings."""
    return PurePath(file).name.partition(".")[0]
