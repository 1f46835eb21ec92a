"""MMLU's CSV, and those made from it: MMLU-Redux, exports with a list of choices."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from attestations.answers import LETTERS
from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, choice
from auditor_client.suites.importers.options import Options, each, name_of, stem
from auditor_client.suites.importers.reading import SourceFile, named

_PARTS = re.compile(r"\Ammlu[_-]|[_-](?:test|dev|val|auxiliary_train)\Z", re.IGNORECASE)
_QUOTED = re.compile(r"""\s*(?:array\()?\[?\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*,?\s*\]?""", re.DOTALL)
_HEADERLESS = ("question", "a", "b", "c", "d", "answer")
_FINE = ("ok", "okay", "none", "expert")  # an expert is wanted: nobody said that the item is faulty


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every item. With a header: `question`, `answer` and `choices` or `a` to `j`; without: MMLU's six columns.

    The category is the `subject` column, or the file's name without `mmlu_`, `_test`, `_dev` and `_val`. A column
    `error_type` (MMLU-Redux) becomes metadata, and marks the item unless it says that the item is fine.
    """
    rows = file.rows()
    first = next(rows, [])
    header = [name.strip().casefold() for name in first]
    scoring = options.scoring or "letter"
    category = name_of(_PARTS.sub("", stem(file.name)))
    if "question" in header and "answer" in header:
        items = named(header, rows)
    elif len(first) == len(_HEADERLESS):
        items = named(list(_HEADERLESS), _again(first, rows))
    else:
        raise file.invalid("neither a header with question and answer, nor the six columns of MMLU", rule="columns")

    def make(row: int, cells: dict[str, str]) -> Candidate:
        offered = _choices(cells["choices"]) if "choices" in cells else _columns(cells)
        error = name_of(cells.get("error_type", "").strip().casefold().replace(" ", "_"))
        faulty = error not in (*_FINE, "unnamed")
        return Candidate(
            row=row,
            category=name_of(cells["subject"]) if cells.get("subject") else category,
            body=choice(cells["question"].strip(), offered, _right(cells["answer"].strip(), offered), scoring),
            metadata={"error_type": error} if faulty else {},
            marks=("upstream-error",) if faulty else (),
        )

    return each(items, make)


def _again(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _columns(cells: dict[str, str]) -> list[str]:
    found = [cells[letter] for letter in LETTERS.lower() if letter in cells]
    while found and not found[-1].strip():
        found.pop()
    return found


def _choices(cell: str) -> list[str]:
    """Read a list of texts: JSON, or as Python or NumPy print one."""
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = _printed(cell)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unusable("choices")
    return value


def _printed(cell: str) -> list[str]:
    found, at = [], 0
    while at < len(cell) and (match := _QUOTED.match(cell, at)):
        try:
            found.append(str(ast.literal_eval(match[1])))  # one quoted text, with its escapes
        except (ValueError, SyntaxError):
            raise Unusable("choices") from None
        at = match.end()
    return found


def _right(answer: str, options: list[str]) -> list[int]:
    if answer.isascii() and answer.isdigit() and len(answer) <= 2 and int(answer) < len(options):  # noqa: PLR2004
        return [int(answer)]
    if len(answer) == 1 and answer.upper() in LETTERS:
        return [LETTERS.index(answer.upper())]
    return [number for number, option in enumerate(options) if option.strip() == answer]
