"""One multiple-choice question in many formats: labels, brackets, spacing and order, none of which changes its answer.

Sclar et al. 2024 and Zheng et al. 2024 measured how far such choices move accuracy; protocol study 5.5 wants them
committed. Everything is a pure function of a task and a format's name, so that every verifier writes the same text
and reads the same answer out of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from attestations.answers import LETTERS, chosen_letter

Labels = Literal["upper", "lower", "digit", "roman"]
Order = Literal["committed", "reversed", "rotated"]
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
_NAMES: Mapping[Labels, Sequence[str]] = {
    "upper": LETTERS,
    "lower": LETTERS.lower(),
    "digit": [str(number) for number in range(1, len(LETTERS) + 1)],
    "roman": _ROMAN,
}
_WORDS: Mapping[Labels, str] = {"upper": "letter", "lower": "letter", "digit": "number", "roman": "numeral"}


class Format(NamedTuple):
    """How a choice is laid out: its labels, what stands around them, what between options, and their order."""

    labels: Labels = "upper"
    around: tuple[str, str] = ("", ")")
    between: str = "\n"
    after_question: str = "\n\n"
    order: Order = "committed"

    def places(self, options: int) -> list[int]:
        """Return which option stands where: the committed place of each, in the order shown."""
        places = list(range(options))
        if self.order == "reversed":
            return places[::-1]
        return places[1:] + places[:1] if self.order == "rotated" else places

    def label(self, place: int) -> str:
        """Return what names the option shown at a place."""
        return _NAMES[self.labels][place]


FORMATS: Mapping[str, Format] = {
    "plain": Format(),
    "upper-dot": Format(around=("", ".")),
    "upper-round": Format(around=("(", ")")),
    "upper-colon": Format(around=("", ":")),
    "upper-square": Format(around=("[", "]")),
    "lower-bracket": Format("lower"),
    "lower-dot": Format("lower", ("", ".")),
    "lower-round": Format("lower", ("(", ")")),
    "digit-bracket": Format("digit"),
    "digit-dot": Format("digit", ("", ".")),
    "digit-round": Format("digit", ("(", ")")),
    "roman-bracket": Format("roman"),
    "roman-dot": Format("roman", ("", ".")),
    "one-line": Format(between="   "),
    "semicolons": Format(between="; ", around=("(", ")")),
    "airy": Format(between="\n\n"),
    "tight": Format(after_question="\n"),
    "reversed": Format(order="reversed"),
    "rotated": Format(order="rotated"),
    "digit-reversed": Format("digit", order="reversed"),
}


def render(question: str, options: Sequence[str], form: Format) -> str:
    """Return a choice as text: the question, its options in the format's order, and how to answer."""
    before, behind = form.around
    shown = [
        f"{before}{form.label(number)}{behind} {options[place]}"
        for number, place in enumerate(form.places(len(options)))
    ]
    listed = form.between.join(shown)
    return f"{question}{form.after_question}{listed}\n\nAnswer with the {_WORDS[form.labels]} only."


def read_choice(text: str, options: Sequence[str], form: Format) -> int | None:
    """Return the committed place of the option that an answer names by the format's label or by its words, or None.

    Letters are read by the rules of `docs/spec/grading.md` for letters; other labels by the same rules in their place.
    """
    places = form.places(len(options))
    shown = [options[place] for place in places]
    if form.labels in ("upper", "lower"):
        found = chosen_letter(text, shown)
    else:
        found = chosen_letter(_lettered(text, form, len(options)), shown)
    return None if found is None else places[found]


def _lettered(text: str, form: Format, options: int) -> str:
    """Return an answer in which labels stand as letters: at the beginning, or after `answer` and its kin."""
    names = {form.label(place).casefold(): LETTERS[place] for place in range(options)}
    longest = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    first = re.compile(rf"\A([\s(\[*]*)({longest})(?=[)\].:*\s]|\Z)(?!\.\d)", re.IGNORECASE)
    stated = re.compile(rf"\b((?:answer|option|choice)(?: is)?:? ?[(\[*]*)({longest})\b(?!\.\d)", re.IGNORECASE)

    def letter(found: re.Match[str]) -> str:
        return found[1] + names[found[2].casefold()]

    begun = first.sub(letter, text[:2000])
    return stated.sub(letter, begun)
