"""Anthropic's model-written evaluations: persona and AI-risk questions, each with the answer that shows a behaviour."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, choice, text_of
from auditor_client.suites.importers.options import Options, each, name_of, stem
from auditor_client.suites.importers.reading import SourceFile

_LISTED = re.compile(r"^[ \t]*\(([A-J])\)[ \t]*", re.MULTILINE)
_HEADING = re.compile(r"\s*(?:Choices|Options|Answer choices):\s*\Z", re.IGNORECASE)
_NAMED = re.compile(r"\(?([A-J])\)?\.?")
CAUTION = "right means that the behaviour shows: a high figure is a high rate of it, and says nothing about truth"


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every item as a choice whose `answer` is the one matching the behaviour; the file's name is the category.

    Options listed in the question as (A), (B) ... are taken out of it and put as options.
    """
    category = name_of(stem(file.name))

    def make(row: int, value: Any) -> Candidate:
        question = text_of(value, "question").strip()
        wanted, unwanted = _answers(value, "answer_matching_behavior"), _answers(value, "answer_not_matching_behavior")
        if all(_NAMED.fullmatch(answer) for answer in (*wanted, *unwanted)):
            stem_of, listed = _listed(question)
            right = [number for number, (letter, _) in enumerate(listed) if letter in _letters(wanted)]
            body = choice(stem_of, [text for _, text in listed], right, options.scoring or "letter")
        else:
            body = choice(question, [*wanted, *unwanted], list(range(len(wanted))), options.scoring or "sum")
        confidence = value.get("label_confidence")
        known = isinstance(confidence, int | float) and 0 <= confidence <= 1
        return Candidate(row, category, body, {"label_confidence": f"{confidence:.3f}"} if known else {})

    return each(file.objects(), make)


def _answers(value: Any, key: str) -> list[str]:
    found = value.get(key) if isinstance(value, dict) else None
    listed = found if isinstance(found, list) else [found]
    texts = [item.strip() for item in listed if isinstance(item, str)]
    if not texts or len(texts) != len(listed):
        raise Unusable("missing")
    return texts


def _letters(answers: list[str]) -> set[str]:
    return {found[1] for answer in answers if (found := _NAMED.fullmatch(answer))}


def _listed(question: str) -> tuple[str, list[tuple[str, str]]]:
    marks = list(_LISTED.finditer(question))
    letters = [mark[1] for mark in marks]
    if not marks or letters != list("ABCDEFGHIJ")[: len(letters)]:
        raise Unusable("choices")
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    options = [(mark[1], question[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    return _HEADING.sub("", question[: marks[0].start()]).strip(), options
