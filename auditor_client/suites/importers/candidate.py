"""What a reader gives for every item of its source: a candidate for a task, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from attestations.answers import LETTERS, NORMALISATIONS, Normalisation, normalised
from auditor_client.suites.tasks import MAX_OPTIONS, MAX_QUESTION_CHARACTERS

MAX_OPTION_CHARACTERS = 2000
MAX_DIGITS = 15
MAX_DECIMALS = 12
_NUMBER = re.compile(r"(-?)[$+]?(\d{1,40})(?:\.(\d{1,40}))?", re.ASCII)

# Why an item is left out: rules that a report names, and what each says.
LEFT_OUT: Mapping[str, str] = {
    "not-json": "the line is not JSON",
    "duplicate-key": "an object names a key twice: which of the two values holds cannot be known",
    "columns": "the row has another number of cells than the header",
    "missing": "a part that the format demands is missing, or of another type",
    "empty": "a question, an option or an answer is empty",
    "no-answer": "no option is marked as right, or the marked one does not exist",
    "several-answers": "several options are marked as right",
    "same-options": "two options are the same",
    "few-options": "fewer than two options",
    "many-options": f"more than {MAX_OPTIONS} options, or more than {len(LETTERS)} to be named by a letter",
    "too-long": f"a question of more than {MAX_QUESTION_CHARACTERS} characters, or an answer of more than "
    f"{MAX_OPTION_CHARACTERS}",
    "not-a-number": f"the answer is not a number of at most {MAX_DIGITS} digits and {MAX_DECIMALS} decimals",
    "choices": "the options cannot be told from the question",
    "format": "the item does not fit the suite format",
}


class Unusable(Exception):
    """An item that cannot become a task; `rule` is one of `LEFT_OUT`."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class LeftOut(NamedTuple):
    """An item of the source that became no task."""

    row: int
    rule: str


@dataclass(frozen=True, repr=False)
class Candidate:
    """An item of the source as a task: `body` is the task's `task`, `cluster` says what must not be parted by a split.

    `marks` are rules that the source itself raises against the item.
    """

    row: int
    category: str
    body: Mapping[str, Any]
    metadata: Mapping[str, str | int] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    cluster: str | None = None
    marks: tuple[str, ...] = ()


def choice(question: str, options: Sequence[str], right: Sequence[int], scoring: str) -> dict[str, Any]:
    """Return a choice; `right` are the places of the right options.

    Raises:
        Unusable: it is none, or not of one right answer.
    """
    trimmed = [option.strip() for option in options]
    _check_texts(question, trimmed)
    if len(trimmed) < 2:  # noqa: PLR2004 - one option is no choice
        raise Unusable("few-options")
    if len(trimmed) > (len(LETTERS) if scoring == "letter" else MAX_OPTIONS):
        raise Unusable("many-options")
    if len({normalised(option, NORMALISATIONS) for option in trimmed}) != len(trimmed):
        raise Unusable("same-options")
    if len(right) != 1:
        raise Unusable("several-answers" if right else "no-answer")
    if not 0 <= right[0] < len(trimmed):
        raise Unusable("no-answer")
    return {"type": "choice", "question": question, "options": trimmed, "answer": right[0], "scoring": scoring}


def exact(question: str, answers: Sequence[str], normalise: Sequence[Normalisation]) -> dict[str, Any]:
    """Return a task with a short answer.

    Raises:
        Unusable: a text is empty or too long.
    """
    trimmed = list(dict.fromkeys(answer.strip() for answer in answers))
    if not trimmed:
        raise Unusable("no-answer")
    _check_texts(question, trimmed)
    if not all(normalised(answer, normalise) for answer in trimmed):
        raise Unusable("empty")
    return {"type": "exact", "question": question, "answers": trimmed, "normalise": list(normalise)}


def numeric(question: str, value: str) -> dict[str, Any]:
    """Return a task whose answer is a number.

    Raises:
        Unusable: the value is no number, or a text is empty or too long.
    """
    _check_texts(question, [value])
    return {"type": "numeric", "question": question, "value": decimal(value)}


def decimal(text: str) -> str:
    """Return a number as the suite format writes it; thousands may be grouped by commas.

    Raises:
        Unusable: it is no number, or would have to be rounded.
    """
    found = _NUMBER.fullmatch(text.strip().replace(",", "").replace("\u2212", "-"))
    if found is None:
        raise Unusable("not-a-number")
    sign, whole, decimals = found[1], found[2].lstrip("0") or "0", (found[3] or "").rstrip("0")
    if len(whole) > MAX_DIGITS or len(decimals) > MAX_DECIMALS:
        raise Unusable("not-a-number")
    number = f"{whole}.{decimals}" if decimals else whole
    return number if number == "0" else sign + number


def text_of(value: Any, *keys: str) -> str:
    """Return the first of these members that is a text.

    Raises:
        Unusable: there is none.
    """
    if isinstance(value, Mapping):
        for key in keys:
            if isinstance(value.get(key), str):
                return str(value[key])
    raise Unusable("missing")


def _check_texts(question: str, answers: Sequence[str]) -> None:
    if not question.strip() or not all(answers):
        raise Unusable("empty")
    if len(question) > MAX_QUESTION_CHARACTERS or any(len(answer) > MAX_OPTION_CHARACTERS for answer in answers):
        raise Unusable("too-long")
