"""BIG-bench's JSON tasks, multiple choice and generative, and BIG-Bench Hard, which has the same examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attestations.answers import Normalisation
from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, choice, exact, numeric, text_of
from auditor_client.suites.importers.options import Options, each, name_of
from auditor_client.suites.importers.reading import SourceFile, numbered

METRICS = ("multiple_choice_grade", "exact_str_match")
_NORMALISE: tuple[Normalisation, ...] = ("first_line",)  # as published: strip, first line, equal
_INTEGER = re.compile(r"-?\d{1,15}", re.ASCII)
_INTEGERS = ("[-+]?\\d+", "[-+]?[0-9]+")


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every example, by the metric asked for, else the task's preferred one, else the one its examples allow.

    `multiple_choice_grade` takes one right option out of `target_scores`; `exact_str_match` compares the first line
    with `target`. Where the task's own `output_regex` takes an integer out of the answer, the item is numeric.
    """
    value = file.document()
    examples = value.get("examples") if isinstance(value, Mapping) else None
    if not isinstance(examples, list):
        raise file.invalid("a task with a list of examples is wanted", rule="format")
    named = value.get("name")
    category = name_of(named if isinstance(named, str) else file.name.removesuffix(".json").removesuffix("/task"))
    metric = options.metric or _preferred(value, examples)
    prefix = value.get("task_prefix") if isinstance(value.get("task_prefix"), str) else ""
    canary = value.get("canary") if isinstance(value.get("canary"), str) else None
    integers = value.get("output_regex") in _INTEGERS

    def make(row: int, example: Any) -> Candidate:
        question = f"{prefix.rstrip()}\n\n{text_of(example, 'input').strip()}" if prefix else text_of(example, "input")
        if metric == "multiple_choice_grade":
            body = _choice(question.strip(), example, options.scoring or "sum")
        else:
            body = _generative(question.strip(), example, integers=integers)
        return Candidate(row, category, body, more={"canary": canary} if canary else {})

    return each(numbered(examples), make)


def _preferred(value: Mapping[str, Any], examples: list[Any]) -> str:
    stated = [value.get("preferred_score"), *(value["metrics"] if isinstance(value.get("metrics"), list) else ())]
    has_scores = any(isinstance(example, Mapping) and "target_scores" in example for example in examples)
    has_target = any(isinstance(example, Mapping) and "target" in example for example in examples)
    possible = {"multiple_choice_grade": has_scores, "exact_str_match": has_target}
    return next(
        (name for name in (*stated, *METRICS) if isinstance(name, str) and possible.get(name)), "exact_str_match"
    )


def _choice(question: str, example: Mapping[str, Any], scoring: str) -> dict[str, Any]:
    scores = example.get("target_scores")
    if not isinstance(scores, Mapping) or not all(isinstance(score, int | float) for score in scores.values()):
        raise Unusable("missing")
    return choice(
        question, list(scores), [number for number, score in enumerate(scores.values()) if score > 0], scoring
    )


def _generative(question: str, example: Mapping[str, Any], *, integers: bool) -> dict[str, Any]:
    target = example.get("target")
    answers = [answer for answer in (target if isinstance(target, list) else [target]) if isinstance(answer, str)]
    if not answers or (isinstance(target, list) and len(answers) != len(target)):
        raise Unusable("missing")
    if integers and len(answers) == 1 and _INTEGER.fullmatch(answers[0]):
        return numeric(question, answers[0])
    return exact(question, answers, _NORMALISE)
