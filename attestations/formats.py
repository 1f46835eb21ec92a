"""One multiple-choice question in many formats: labels, brackets, spacing and order, none of which changes its answer.

Sclar et al. 2024 and Zheng et al. 2024 measured how far such choices move accuracy; protocol study 5.5 wants them
committed. Everything is a pure function of a task and a format's name, so that every verifier writes the same text
and reads the same answer out of it. A name means for ever what it means here: another layout gets another name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

from attestations.answers import LETTERS, NORMALISATIONS, chosen_letter, normalised

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


def render(question: str, options: Sequence[str], form: Format, *, after_thinking: bool = False) -> str:
    """Return a choice as text: the question, its options in the format's order, and how to answer.

    Args:
        question: what is asked.
        options: at most ten, in their committed order.
        form: how they are laid out.
        after_thinking: whether the model is asked to think first, so that not all it writes is the label.
    """
    before, behind = form.around
    shown = [
        f"{before}{form.label(number)}{behind} {options[place]}"
        for number, place in enumerate(form.places(len(options)))
    ]
    listed, word = form.between.join(shown), _WORDS[form.labels]
    how = f"The final answer is the {word} only." if after_thinking else f"Answer with the {word} only."
    return f"{question}{form.after_question}{listed}\n\n{how}"


def read_choice(text: str, options: Sequence[str], form: Format) -> int | None:
    """Return the committed place of the option that an answer names by the format's label or by its words, or None.

    Letters are read by the rules of `docs/spec/grading.md` for letters; other labels by the same rules in their
    place. A label that the format does not show names nothing.
    """
    places = form.places(len(options))
    shown = [options[place] for place in places]
    lettered = form.labels in ("upper", "lower")
    found = chosen_letter(text, shown) if lettered else _chosen_label(text, shown, form.labels)
    return None if found is None else places[found]


def _chosen_label(text: str, shown: Sequence[str], labels: Labels) -> int | None:
    """Read a number or a numeral as `chosen_letter` reads a letter; a number with a sign or decimals is no label."""
    names = {name.casefold(): place for place, name in enumerate(_NAMES[labels])}
    first = next((line for line in text.split("\n") if line.strip()), "").strip()
    lone, listed, stated = _patterns(labels)
    found = {match[1] for match in (lone.fullmatch(first[:200]) or listed.match(first[:200]),) if match}
    named = {names[label.casefold()] for label in found or stated.findall(text[:2000])}
    if not named:
        said = normalised(first, NORMALISATIONS)
        named = {place for place, option in enumerate(shown) if normalised(option, NORMALISATIONS) == said}
    place = named.pop() if len(named) == 1 else len(shown)
    return place if place < len(shown) else None


@cache
def _patterns(labels: Labels) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return how a label stands alone, opens a list, and follows `answer` and its kin."""
    names = "|".join(sorted(map(re.escape, _NAMES[labels]), key=len, reverse=True))
    label = f"(?a:{names})"  # in ASCII: a dotted or dotless i of another alphabet is no numeral
    return (
        re.compile(rf"[^\w.+\-\u2212]*({label})\W*", re.IGNORECASE),
        re.compile(rf"[\s(\[*]*({label})[)\].:*](?!\d)", re.IGNORECASE),
        re.compile(rf"\b(?:answer|option|choice)(?: is)?:? ?[(\[*]*({label})\b(?!\.\d)", re.IGNORECASE),
    )
