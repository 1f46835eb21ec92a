"""What a model's text says: the letter it chose, the number it ended on, whether it declined.

Every rule is a rule of `docs/spec/grading.md`. Texts are a stranger's: each function ends in time linear in the
text, and none raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

LETTERS = "ABCDEFGHIJ"
MAX_EXPONENT = 300
Normalisation = Literal[
    "first_line", "casefold", "collapse_space", "strip_quotes", "strip_punctuation", "strip_article"
]
NORMALISATIONS: tuple[Normalisation, ...] = ("casefold", "collapse_space", "strip_quotes", "strip_punctuation")

# Openings by which a chat model declines. A list finds only what it lists: a refusal in other words counts as an
# answer, and refusal rates are lower bounds.
REFUSALS = (
    "as a language model",
    "as an ai",
    "i am not able",
    "i am sorry",
    "i am unable",
    "i apologize",
    "i can not",
    "i can't",
    "i cannot",
    "i do not feel comfortable",
    "i don't feel comfortable",
    "i must decline",
    "i will not",
    "i won't",
    "i'm not able",
    "i'm sorry",
    "i'm unable",
    "sorry, but i",
    "sorry, i",
    "unfortunately, i can",
)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
# Letters are those of ASCII: where case is ignored, a dotted or dotless i of other alphabets would count as an I.
_LONE = re.compile(r"\W*((?a:[A-J]))\W*", re.IGNORECASE)
_LISTED = re.compile(r"[\s(\[*]*((?a:[A-J]))[)\].:*]", re.IGNORECASE)
_STATED = re.compile(r"\b(?:answer|option|choice)(?: is)?:? ?[(\[*]*((?a:[A-J]))\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3}){1,8}(?!\d)|\d{1,40})(?:\.\d{1,40})?(?:e[-+]?\d{1,3})?(?!\d)",
    re.IGNORECASE | re.ASCII,
)


def without_thinking(text: str) -> str | None:
    """Return a text without its finished `<think>` blocks, or None if one was begun and never ended."""
    if "</think>" in text and "<think>" not in text.partition("</think>")[0]:
        text = text.partition("</think>")[2]  # some chat templates open the block themselves
    text = _THINKING.sub("", text) if "</think>" in text else text
    return None if "<think>" in text else text


def is_refusal(text: str) -> bool:
    """Tell whether an answer opens by declining."""
    opening = " ".join(text[:400].replace("\u2019", "'").lower().split()).lstrip("\"'*_ ")
    return opening.startswith(REFUSALS)


def normalised(text: str, rules: Sequence[Normalisation]) -> str:
    """Return a text as exact matching compares it; the rules apply in their fixed order, not in the given one."""
    if "first_line" in rules:
        text = next((line for line in text.split("\n") if line.strip()), "")
    if "casefold" in rules:
        text = text.casefold()
    text = " ".join(text.split()) if "collapse_space" in rules else text.strip()
    if "strip_quotes" in rules:
        text = text.strip("\"'`\u2018\u2019\u201c\u201d*")
    if "strip_punctuation" in rules:
        text = text.rstrip(" .,;:!?")
        if "strip_quotes" in rules:
            text = text.strip("\"'`\u2018\u2019\u201c\u201d*")
    if "strip_article" in rules:
        text = re.sub(r"\A(?:a|an|the) ", "", text, flags=re.IGNORECASE)
    return text


def chosen_letter(text: str, options: Sequence[str]) -> int | None:
    """Return the number of the option an answer names, or None where it names none or more than one."""
    first = next((line for line in text.split("\n") if line.strip()), "").strip()
    for pattern in (_LONE.fullmatch, _LISTED.match):
        if found := pattern(first[:200]):
            return _index(found[1], options)
    stated = {found.upper() for found in _STATED.findall(text[:2000])}
    if stated:
        return _index(stated.pop(), options) if len(stated) == 1 else None
    said = normalised(first, NORMALISATIONS)
    same = [number for number, option in enumerate(options) if normalised(option, NORMALISATIONS) == said]
    return same[0] if len(same) == 1 else None


def last_number(text: str) -> Fraction | None:
    """Return the last number written in digits, or None."""
    found: str | None = None
    for match in _NUMBER.finditer(text.replace("\u2212", "-")):
        found = match[0]
    if found is None:
        return None
    digits, _, exponent = found.lower().replace(",", "").partition("e")
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        return None
    return Fraction(digits) * Fraction(10) ** int(exponent or 0)


def _index(letter: str, options: Sequence[str]) -> int | None:
    number = LETTERS.index(letter.upper())
    return number if number < len(options) else None
