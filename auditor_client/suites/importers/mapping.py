"""The little language that says where a JSON line keeps what a task needs; it names places and runs nothing.

    question=prompt, options=choices[*].text, answer=target.label | letter, category='geography'

`docs/guides/suites.md` explains it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from attestations.answers import LETTERS
from attestations.errors import SuiteInvalid
from auditor_client.suites.importers.candidate import Unusable

FIELDS = (
    *("question", "options", "answer", "answers", "value", "tolerance", "pattern"),
    *("category", "difficulty", "abstract", "rubric", "provenance", "author", "cluster"),
)
MAX_CHARACTERS = 10_000
_NEEDED = (("question",), ("answer", "answers", "value", "pattern"))
_TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>'[^']*'|"[^"]*")|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<number>\d{1,6})|(?P<sign>[=,.|()*\[\]]))"""
)
_EVERY = "*"
_OF_EACH = ("strip", "after", "before")
_FILTERS = {"strip": False, "letter": False, "from_one": False, "after": True, "before": True, "split": True}


@dataclass(frozen=True)
class Place:
    """Where a value stands: a fixed text, or steps into the object, and what is done to it."""

    literal: str | None = None
    steps: tuple[str | int, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()

    def find(self, value: Any) -> Any:
        """Return what stands there; `[*]` gives a list.

        Raises:
            Unusable: there is nothing, or something a filter cannot work on.
        """
        found = self.literal if self.literal is not None else _walk(value, self.steps)
        for name, argument in self.filters:
            found = _filtered(name, argument, found)
        return found


@dataclass(frozen=True)
class Mapping:
    """The places of a task's fields, and of its metadata."""

    fields: dict[str, Place]
    metadata: dict[str, Place]


def parse_mapping(text: str) -> Mapping:
    """Read a mapping; a line of a file may end in a comment after `#`, and line ends stand for commas.

    Raises:
        SuiteInvalid: it is none; the message says at which character.
    """
    if len(text) > MAX_CHARACTERS:
        raise SuiteInvalid(f"a mapping of more than {MAX_CHARACTERS} characters", rule="mapping")
    parser = _Parser(text)
    fields: dict[str, Place] = {}
    metadata: dict[str, Place] = {}
    while not parser.at_end():
        name = parser.take("name", "the name of a field")
        places, key = (metadata, "") if name in ("metadata", "group") else (fields, name)
        if name == "metadata":
            parser.sign(".")
            key = parser.take("name", "the name of a metadata key")
        elif name == "group":
            key = name
        elif name not in FIELDS:
            raise parser.error(f"not a field: one of {', '.join(FIELDS)}, group or metadata.NAME is wanted")
        if key in places:
            raise parser.error("a field is mapped twice")
        parser.sign("=")
        places[key] = parser.place()
        if not parser.at_end():
            parser.sign(",")
    for any_of in _NEEDED:
        if not fields.keys() & set(any_of):
            raise SuiteInvalid(f"the mapping says nothing of {' or '.join(any_of)}", rule="mapping")
    return Mapping(fields, metadata)


def mapping_text(lines: str) -> str:
    """Return the text of a mapping file as one mapping."""
    kept = (line.partition("#")[0].strip().rstrip(",") for line in lines.splitlines())
    return ",".join(line for line in kept if line)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def at_end(self) -> bool:
        return not self._text[self._at :].strip()

    def error(self, message: str) -> SuiteInvalid:
        return SuiteInvalid(f"the mapping, before character {self._at + 1}: {message}", rule="mapping")

    def peek(self) -> tuple[str, str, int]:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            return "", "", self._at
        return found.lastgroup, found[found.lastgroup], found.end()

    def take(self, kind: str, wanted: str) -> str:
        found, text, end = self.peek()
        if found != kind:
            raise self.error(f"{wanted} is wanted")
        self._at = end
        return text

    def sign(self, sign: str) -> None:
        _, text, end = self.peek()
        if text != sign:
            raise self.error(f"`{sign}` is wanted")
        self._at = end

    def skip(self, sign: str) -> bool:
        kind, text, end = self.peek()
        if (kind, text) != ("sign", sign):
            return False
        self._at = end
        return True

    def place(self) -> Place:
        kind, text, end = self.peek()
        if kind == "quoted" and self._text[end : end + 1] not in (".", "["):
            self._at = end
            return Place(literal=text[1:-1], filters=self._filters())
        steps: list[str | int] = [self._step()]
        while True:
            if self.skip("."):
                steps.append(self._step())
            elif self.skip("["):
                steps.append(_EVERY if self.skip("*") else int(self.take("number", "a number or `*`")))
                self.sign("]")
            else:
                break
        if steps.count(_EVERY) > 1:
            raise self.error("`[*]` stands once in a place")
        return Place(steps=tuple(steps), filters=self._filters())

    def _step(self) -> str:
        kind, text, end = self.peek()
        if kind not in ("name", "quoted"):
            raise self.error("the name of a member is wanted")
        self._at = end
        return "." + (text[1:-1] if kind == "quoted" else text)

    def _filters(self) -> tuple[tuple[str, str], ...]:
        found = []
        while self.skip("|"):
            name = self.take("name", "the name of a filter")
            if name not in _FILTERS:
                raise self.error(f"not a filter: one of {', '.join(_FILTERS)} is wanted")
            argument = ""
            if _FILTERS[name]:
                self.sign("(")
                argument = self.take("quoted", "a quoted text")[1:-1]
                self.sign(")")
                if not argument:
                    raise self.error("a quoted text that is not empty is wanted")
            found.append((name, argument))
        return tuple(found)


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for number, step in enumerate(steps):
        if step == _EVERY:
            items = list(value.values()) if isinstance(value, dict) else value
            if not isinstance(items, list):
                raise Unusable("missing")
            return [_walk(item, steps[number + 1 :]) for item in items]
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        elif isinstance(step, str) and isinstance(value, dict) and step[1:] in value:
            value = value[step[1:]]
        else:
            raise Unusable("missing")
    return value


def _filtered(name: str, argument: str, value: Any) -> Any:
    if name == "from_one" and type(value) is int and value >= 1:
        return value - 1
    if isinstance(value, list) and name in _OF_EACH and all(isinstance(item, str) for item in value):
        return [_filtered(name, argument, item) for item in value]
    if not isinstance(value, str):
        raise Unusable("missing")
    if name == "strip":
        return value.strip()
    if name == "split":
        return [part.strip() for part in value.split(argument) if part.strip()]
    if name in ("after", "before"):
        head, mark, tail = value.rpartition(argument) if name == "after" else value.partition(argument)
        if not mark:
            raise Unusable("missing")
        return (tail if name == "after" else head).strip()
    letter = value.strip().strip("().").upper()
    if name == "letter" and len(letter) == 1 and letter in LETTERS:
        return LETTERS.index(letter)
    if name == "from_one" and value.strip().isdecimal() and len(value.strip()) <= 3:  # noqa: PLR2004
        return int(value) - 1
    raise Unusable("no-answer")
