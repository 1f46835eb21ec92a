"""JSON lines of any shape, by a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any, get_args

from attestations.answers import LETTERS, NORMALISATIONS
from auditor_client.suites.importers.candidate import (
    MAX_DIGITS,
    Candidate,
    LeftOut,
    Unusable,
    choice,
    decimal,
    exact,
    numeric,
)
from auditor_client.suites.importers.mapping import Mapping
from auditor_client.suites.importers.options import Options, each, name_of, stem
from auditor_client.suites.importers.reading import SourceFile
from auditor_client.suites.tasks import Task

_TEXTS = ("abstract", "rubric", "provenance", "author")
_DIFFICULTIES = get_args(Task.model_fields["difficulty"].annotation)


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every line as the task its mapping makes: `options` a choice, `value` a number, `pattern`, else a text."""
    mapping = options.mapping
    if mapping is None:
        raise file.invalid("--map or --map-file says where a line keeps question and answer", rule="mapping")
    category = name_of(stem(file.name))
    return each(file.objects(), lambda row, value: _item(row, value, mapping, category, options.scoring or "letter"))


def _item(row: int, value: Any, mapping: Mapping, category: str, scoring: str) -> Candidate:
    found = {name: place.find(value) for name, place in mapping.fields.items()}
    difficulty = found.get("difficulty")
    more: dict[str, Any] = {name: _text(found[name]) for name in _TEXTS if name in found}
    if difficulty is not None:
        if difficulty not in _DIFFICULTIES:
            raise Unusable("format")
        more["difficulty"] = difficulty
    return Candidate(
        row=row,
        category=name_of(_text(found["category"])) if "category" in found else category,
        body=_body(found, scoring),
        metadata={name: _label(place.find(value)) for name, place in mapping.metadata.items()},
        more=more,
        cluster=_text(found["cluster"]) if "cluster" in found else None,
    )


def _body(found: dict[str, Any], scoring: str) -> dict[str, Any]:
    question = _text(found["question"]).strip()
    if "options" in found:
        options = _texts(found["options"])
        return choice(question, options, _right(found.get("answer"), options), scoring)
    if "value" in found:
        body = numeric(question, _text(found["value"]))
        return {**body, "tolerance": decimal(_text(found["tolerance"]))} if "tolerance" in found else body
    if "pattern" in found:
        return {"type": "pattern", "question": question, "pattern": _text(found["pattern"])}
    return exact(question, _texts(found.get("answers", found.get("answer"))), NORMALISATIONS)


def _right(answer: Any, options: list[str]) -> list[int]:
    """Return the places an answer names: a number from 0, else the text of an option, else a letter."""
    if type(answer) is int:
        return [answer]
    text = _text(answer).strip()
    same = [number for number, option in enumerate(options) if option.strip() == text]
    if same or len(text) != 1 or text.upper() not in LETTERS:
        return same
    return [LETTERS.index(text.upper())]


def _text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and isfinite(value) and abs(value) < 10**MAX_DIGITS:
        return f"{value:.12f}"
    if not isinstance(value, str):
        raise Unusable("missing")
    return value


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in value] if isinstance(value, list) else [_text(value)]


def _label(value: Any) -> str | int:
    if type(value) is int and 0 <= value < 2**53:
        return value
    return _text(value)[:200]
