"""Vectors for formats: a choice in each of them, and what answers name in it."""

from __future__ import annotations

from typing import Any

from attestations.formats import FORMATS, read_choice, render
from tests.vectors.families import write

QUESTION = "Which of these is a fruit?"
OPTIONS = ("a stone", "an apple", "a spoon", "a cloud")
ANSWERS = (
    *("B", "(b)", "2", "2)", "II", "ii.", "3", "C.", "iii", "IV", "4"),
    *("The answer is B", "Answer: 2", "Option III", "the answer is B, or the answer is C", "answer 1 or answer 2"),
    *("an apple", "An apple.", "B) an apple", "2. an apple", "an apple, I think", "", "5", "-2", "2.5", "E", "X"),
)


def generate() -> Any:
    """Return the vectors."""
    return {
        "question": QUESTION,
        "options": list(OPTIONS),
        "formats": {
            name: {
                "text": render(QUESTION, OPTIONS, form),
                "afterThinking": render(QUESTION, OPTIONS, form, after_thinking=True),
                "places": form.places(len(OPTIONS)),
                "named": {answer: read_choice(answer, OPTIONS, form) for answer in ANSWERS},
            }
            for name, form in FORMATS.items()
        },
    }


if __name__ == "__main__":
    write("formats", generate())
