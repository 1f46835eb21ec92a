"""Graders that anyone can run again: pure functions from target and answer to a grade.

A grader is named and versioned; its digest stands in the registration, so that it cannot change after access.
Graders run at the auditor and in verifiers, never at the lab. `docs/spec/grading.md` is the normative page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import Field

from attestations.answers import (
    LETTERS,
    NORMALISATIONS,
    REFUSALS,
    Normalisation,
    chosen_letter,
    is_refusal,
    last_number,
    normalised,
    without_thinking,
)
from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.base import Decimal, Name, Part, validated
from attestations.documents.dialogue import MAX_CONTINUATIONS, ChatResult, CountResult, ScoreResult
from attestations.errors import EvidenceMissing, GraderDigestMismatch, MalformedEnvelope
from attestations.formats import Format, read_choice
from attestations.judged import Verdict
from attestations.patterns import compile_pattern

VERSION = "1"
JUDGED: Literal["judged"] = "judged"
MAX_ANSWER_CHARACTERS = 20_000  # what lies beyond is not read: a grader must end
MAX_SEARCHED_CHARACTERS = 2000  # in a pattern's case, where a match takes (states x characters) steps
MAX_ACCEPTED = 100

Outcome = Literal["correct", "incorrect", "refused", "invalid", "empty", "truncated"]
Result = ChatResult | ScoreResult | CountResult


class Grade(NamedTuple):
    """How an answer ended, and its score."""

    outcome: Outcome
    score: Literal["0", "1"]


CORRECT = Grade("correct", "1")
INCORRECT = Grade("incorrect", "0")
INVALID = Grade("invalid", "0")


class Target(Part):
    """What is right; committed to as the task's `target` (class C6)."""


class ScoredChoiceTarget(Target):
    """Which option is right, and whether options are compared by their sums or by the mean of their tokens."""

    grader: Literal["choice-scored"] = "choice-scored"
    answer: int = Field(ge=0, lt=MAX_CONTINUATIONS)
    scoring: Literal["sum", "normalised"]


class LetterChoiceTarget(Target):
    """Which option is right; the model names it by its letter or its text."""

    grader: Literal["choice-letter"] = "choice-letter"
    answer: int = Field(ge=0, le=len(LETTERS) - 1)


class ExactTarget(Target):
    """The answers that are accepted, and what is evened out before answers are compared."""

    grader: Literal["exact"] = "exact"
    answers: tuple[str, ...] = Field(min_length=1, max_length=MAX_ACCEPTED)
    normalise: tuple[Normalisation, ...] = NORMALISATIONS


class PatternTarget(Target):
    """A pattern to be found in the answer."""

    grader: Literal["pattern"] = "pattern"
    pattern: str


class NumericTarget(Target):
    """A number, and how far off an answer may be: the larger of an absolute and a relative tolerance."""

    grader: Literal["numeric"] = "numeric"
    value: Decimal
    tolerance: Decimal = "0"
    relative_tolerance: Decimal = "0"


class JudgedTarget(Target):
    """An answer that a declared model grades, against a reference and the task's rubric."""

    grader: Literal["judged"] = JUDGED
    judge: Name
    reference: str | None = Field(default=None, max_length=MAX_ANSWER_CHARACTERS)


def grade(
    target: Any, prompt: Any, result: Result, *, verdict: Verdict | None = None, form: Format | None = None
) -> Grade:
    """Grade one answer.

    Args:
        target: the committed `target` of the task (class C6): an object whose `grader` names how to grade.
        prompt: the committed `prompt` (class C5); of a choice, it holds the `options`.
        result: the opened answer.
        verdict: what the judge said, where `needs_judge` says that one has to.
        form: the format in which a choice was laid out for a model that answers in words; None as committed.

    Raises:
        GraderDigestMismatch: an unknown grader is named.
        EvidenceMissing: a judge has to say something, and has not.
        MalformedEnvelope, UnknownCriticalField: target or prompt is not what the grader needs.
    """
    name = target.get("grader") if isinstance(target, Mapping) else None
    if not isinstance(name, str):
        raise MalformedEnvelope("a target is an object that names its grader", field="target")
    grader = _grader(name)
    read = validated(grader.target, target)
    if isinstance(read, JudgedTarget) and verdict is not None:
        return _reading(lambda *_: Grade(verdict, "1" if verdict == "correct" else "0"))(read, prompt, result)
    if isinstance(read, LetterChoiceTarget) and form is not None:
        return _reading(partial(_letter_choice, form=form))(read, prompt, result)
    return grader.run(read, prompt, result)


def needs_judge(target: Any, result: Result) -> bool:
    """Tell whether an answer's grade is for a judge to give: what is empty, cut off or no text at all is not."""
    if not isinstance(target, Mapping) or target.get("grader") != JUDGED or not isinstance(result, ChatResult):
        return False
    return bool((judged_text(result) or "").strip())


def judged_text(result: ChatResult) -> str | None:
    """Return what a judge is shown of an answer, or None if it was cut off while thinking."""
    return without_thinking(result.content[:MAX_ANSWER_CHARACTERS])


def chosen_option(target: Any, prompt: Any, result: Result, form: Format | None = None) -> int | None:
    """Return the place of the option an answer chooses; None if it chooses none, or if the task offers none.

    `form` is the format in which the choice was laid out; None as committed.

    Raises:
        GraderDigestMismatch, MalformedEnvelope, UnknownCriticalField: as `grade`.
    """
    name = target.get("grader") if isinstance(target, Mapping) else None
    if name == "choice-scored":
        scored = validated(ScoredChoiceTarget, target)
        return _highest(scored, _options(prompt, scored.answer, most=MAX_CONTINUATIONS), result)
    if name == "choice-letter" and isinstance(result, ChatResult):
        text = without_thinking(result.content[:MAX_ANSWER_CHARACTERS])
        options = _options(prompt, validated(LetterChoiceTarget, target).answer, most=len(LETTERS))
        return None if text is None else _named(text, options, form)
    return None


def grader_digest(name: str) -> str:
    """Return the digest of a grader's name, version and rules.

    Raises:
        GraderDigestMismatch: there is no such grader.
    """
    grader = _grader(name)
    refusals = list(REFUSALS) if grader.reads_text else []
    return sha256(canonical_bytes({"name": name, "version": VERSION, "rules": grader.rules, "refusals": refusals}))


def _grader(name: str) -> Grader:
    grader = GRADERS.get(name)
    if grader is None:
        raise GraderDigestMismatch("no such grader")
    return grader


def _scored_choice(target: Any, prompt: Any, result: Result) -> Grade:
    chosen = _highest(target, _options(prompt, target.answer, most=MAX_CONTINUATIONS), result)
    if chosen is None:
        return INVALID
    return CORRECT if chosen == target.answer else INCORRECT


def _highest(target: ScoredChoiceTarget, options: list[str], result: Result) -> int | None:
    if not isinstance(result, ScoreResult) or len(result.scores) != len(options):
        return None
    # An option of no tokens would win for nothing, and no probability is above one.
    if any(not item.tokens or Fraction(item.logprob) > 0 for item in result.scores):
        return None
    by_token = target.scoring == "normalised"
    # Fractions: a tie is a tie on every computer.
    scores = [Fraction(item.logprob) / (item.tokens if by_token else 1) for item in result.scores]
    best = max(scores)
    return scores.index(best) if scores.count(best) == 1 else None


def _named(text: str, options: Sequence[str], form: Format | None) -> int | None:
    return chosen_letter(text, options) if form is None else read_choice(text, options, form)


def _letter_choice(target: Any, prompt: Any, text: str, form: Format | None = None) -> Grade:
    chosen = _named(text, _options(prompt, target.answer, most=len(LETTERS)), form)
    if chosen is None:
        return INVALID
    return CORRECT if chosen == target.answer else INCORRECT


def _exact(target: Any, _: Any, text: str) -> Grade:
    accepted = {normalised(answer, target.normalise) for answer in target.answers}
    return CORRECT if normalised(text, target.normalise) in accepted else INCORRECT


def _pattern(target: Any, _: Any, text: str) -> Grade:
    try:
        pattern = compile_pattern(target.pattern)
    except ValueError:
        raise MalformedEnvelope("a target's pattern is not of the language", field="target.pattern") from None
    return CORRECT if pattern.found_in(text[:MAX_SEARCHED_CHARACTERS]) else INCORRECT


def _numeric(target: Any, _: Any, text: str) -> Grade:
    found = last_number(text)
    if found is None:
        return INVALID
    value = Fraction(target.value)
    allowed = max(Fraction(target.tolerance), abs(value) * Fraction(target.relative_tolerance))
    return CORRECT if abs(found - value) <= allowed else INCORRECT


def _unjudged(*_: Any) -> Grade:
    raise EvidenceMissing("an answer waits for its judge")


def _reading(judge: Callable[[Any, Any, str], Grade]) -> Callable[[Any, Any, Result], Grade]:
    """Put around a judge of texts what holds of every text: empty, cut off, refused."""

    def run(target: Any, prompt: Any, result: Result) -> Grade:
        if not isinstance(result, ChatResult):
            return INVALID
        text = without_thinking(result.content[:MAX_ANSWER_CHARACTERS])
        if text is None:
            return Grade("truncated", "0")
        if not text.strip():
            return Grade("empty", "0")
        judged = judge(target, prompt, text)
        # A right answer counts however it is introduced; a refusal is neither wrong nor safe, but unanswered.
        return Grade("refused", "0") if judged != CORRECT and is_refusal(text) else judged

    return run


def _options(prompt: Any, answer: int, *, most: int) -> list[str]:
    options = prompt.get("options") if isinstance(prompt, Mapping) else None
    if not isinstance(options, list | tuple) or not all(isinstance(option, str) for option in options):
        raise MalformedEnvelope("the prompt of a choice holds its options", field="prompt.options")
    if not answer < len(options) <= most:
        raise MalformedEnvelope("the right answer is none of the options", field="target.answer")
    return list(options)


class Grader(NamedTuple):
    """A grader, its target's model, and its rules in words; changing any of them is another version."""

    run: Callable[[Any, Any, Result], Grade]
    target: type[Target]
    reads_text: bool
    rules: str


_TEXT = (
    "a text's <think>...</think> blocks are left out; one left open is truncated; a text of white space is empty; "
    "what is not correct and opens with one of the refusals is refused; "
)
GRADERS: Mapping[str, Grader] = {
    "choice-scored": Grader(
        _scored_choice,
        ScoredChoiceTarget,
        reads_text=False,
        rules="the option with the highest sum of log-probabilities (sum) or the highest sum divided by its number "
        "of tokens (normalised), compared as exact fractions; a tie, an option of no tokens, a log-probability above "
        "zero or another number of scores than of options is invalid",
    ),
    "choice-letter": Grader(
        _reading(_letter_choice),
        LetterChoiceTarget,
        reads_text=True,
        rules=_TEXT + "the chosen option is found by rules L1 to L5; none is invalid",
    ),
    "exact": Grader(
        _reading(_exact),
        ExactTarget,
        reads_text=True,
        rules=_TEXT + "equal to an accepted answer after the named normalisations, in the order of rules E1 to E6",
    ),
    "pattern": Grader(
        _reading(_pattern),
        PatternTarget,
        reads_text=True,
        rules=_TEXT + "the pattern, in the language of rules P1 to P9, is found in the first 2000 characters",
    ),
    JUDGED: Grader(
        _reading(_unjudged),
        JudgedTarget,
        reads_text=True,
        rules=_TEXT + "the declared judge says whether it is correct, by rules J1 to J4",
    ),
    "numeric": Grader(
        _reading(_numeric),
        NumericTarget,
        reads_text=True,
        rules=_TEXT + "the last number by rules N1 to N4 is no further off than the larger of the tolerance and the "
        "relative tolerance times the value; no number is invalid",
    ),
}
