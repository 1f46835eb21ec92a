"""What a choice's options give away, and where they contradict each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from attestations.answers import NORMALISATIONS, normalised

LONGER = 2  # times
LONGER_BY = 15  # characters
LEAK_CHARACTERS = 4
_ABOVE = re.compile(
    r"\b(?:all|none|both|neither|any|each|two|more than one) of (?:the )?(?:above|these|the other|the options)"
    r"|\b(?:all|none) of (?:the above|these|them)\b|\bnone of these\b|\ball the above\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\b(?:both|neither|only|all|either) \(?(?:[A-J]|[ivx]{1,4}|\d)\)?(?:,| and| or| nor|\Z)"
    r"|\A\(?[A-J]\)? (?:and|or|&) \(?[A-J]\)?\Z|\b(?:options?|answers?|choices?) \(?[A-J]\b",
)
_NUMBER = re.compile(r"[-+]?[$\u00a3\u20ac]?\s?\d[\d,]{0,30}(?:\.\d{1,30})?\s?%?", re.ASCII)
_RATIO = re.compile(r"(-?\d{1,12})\s?/\s?([1-9]\d{0,11})", re.ASCII)
_SIGNS = re.compile(r"[\W_]+")
_FORMS: tuple[Callable[[str], bool], ...] = (
    lambda option: option.endswith("."),
    lambda option: option.endswith(","),
    lambda option: option[:1].isupper(),
    lambda option: '"' in option or "\u201c" in option,
    lambda option: "(" in option,
)


def option_rules(question: str, options: Sequence[str], answer: int) -> Iterator[str]:
    """Give the rules that a choice's options break; at most quadratic in their number, which is small."""
    wrong = [option for number, option in enumerate(options) if number != answer]
    right = options[answer]
    if _same_value(options):
        yield "same-value"
    if any(_ABOVE.search(option) for option in options[:-1]):
        yield "above-not-last"
    elif any(_ABOVE.search(option) or _ABOUT.search(option) for option in options):
        yield "about-options"
    numbers = sum(_NUMBER.fullmatch(option) is not None for option in options)
    if 0 < numbers < len(options) and not any(_ABOVE.search(option) for option in options):
        yield "mixed-options"
    longest = max(map(len, wrong))
    if len(right) > LONGER * longest and len(right) - longest > LONGER_BY:
        yield "length-cue"
    if len(wrong) > 1 and any(_stands_out(form, right, wrong) for form in _FORMS):
        yield "form-cue"
    if _stands_in(right, question) and not any(_stands_in(option, question, least=1) for option in wrong):
        yield "answer-in-question"


def answer_stands_in(question: str, answers: Sequence[str]) -> bool:
    """Tell whether an accepted answer stands in its question."""
    return any(_stands_in(answer, question) for answer in answers)


def _stands_in(answer: str, question: str, *, least: int = LEAK_CHARACTERS) -> bool:
    said = normalised(answer, NORMALISATIONS)
    if len(said) < least:
        return False
    asked = normalised(question, NORMALISATIONS)
    at = asked.find(said)
    while at >= 0:
        before, after = asked[at - 1 : at], asked[at + len(said) : at + len(said) + 1]
        if not (before.isalnum() or after.isalnum()):
            return True
        at = asked.find(said, at + len(said))
    return False


def _stands_out(form: Callable[[str], bool], right: str, wrong: Sequence[str]) -> bool:
    mine = form(right)
    return all(form(option) is not mine for option in wrong)


def _same_value(options: Sequence[str]) -> bool:
    values = [_value(option) for option in options]
    known = [value for value in values if value is not None]
    if len(set(known)) != len(known):
        return True
    bare = [
        normalised(_SIGNS.sub(" ", option), (*NORMALISATIONS, "strip_article"))
        for option, value in zip(options, values, strict=True)
        if value is None and any(letter.isalpha() for letter in option) and not _SIGNED.search(option)
    ]
    return len(set(bare)) != len(bare)


_SIGNED = re.compile(r"[-+*/=<>^~&|!%\u2212\u2192\u00ac\u2200\u2203\u2227\u2228\u2022\u00b7\u2283\u2261\d()\[\]{}]")


def _value(option: str) -> Fraction | None:
    text = option.strip()
    if ratio := _RATIO.fullmatch(text):
        return Fraction(int(ratio[1]), int(ratio[2]))
    if _NUMBER.fullmatch(text) is None:
        return None
    percent = text.endswith("%")
    digits = re.sub(r"[^\d.-]", "", text)
    try:
        return Fraction(digits) / (100 if percent else 1)
    except ValueError:
        return None
