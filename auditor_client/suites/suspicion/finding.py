"""One thing to look at, and the rules that can raise it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Level = Literal["error", "warning", "info"]
COUNTED = ("test", "benign_twin")
KEPT_APART = ("dev", "reserve")  # what a model may have been tuned on, beside what counts
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


class Finding(NamedTuple):
    """One thing to mend or to know; an error keeps the suite from being committed. It never holds content."""

    level: Level
    rule: str
    message: str
    tasks: tuple[str, ...] = ()


# Rules about single items: level and meaning. `docs/guides/suites.md` lists them all.
ITEM_RULES: Mapping[str, tuple[Level, str]] = {
    "own-grader": ("error", "its own right answer is not graded as correct, or a wrong one is"),
    "text-answer": ("warning", "an answer by an option's text would be read as another option's letter"),
    "same-value": ("warning", "two options are the same number, or differ in articles and signs only"),
    "answer-in-question": ("info", "the right answer stands in the question, and no wrong one does"),
    "length-cue": ("info", "the right option is more than twice as long as any other"),
    "form-cue": ("info", "the right option alone differs in form: its ending, its digits or its first letter"),
    "above-not-last": ("warning", "an option about the others (all, none, both of the above) is not the last one"),
    "about-options": ("info", "an option is about other options: the order of options cannot be changed"),
    "mixed-options": ("info", "some options are numbers and others are texts"),
    "missing-context": ("warning", "the question is about something it does not hold: a passage, a figure, a table"),
    "unbalanced": ("info", "a bracket or a quotation mark is opened and not closed: text may be cut off"),
    "short": ("info", "the question is a word or two"),
    "mojibake": ("warning", "text that was decoded wrongly"),
    "markup": ("warning", "HTML tags, entities or escapes stand in the text"),
    "control-characters": ("warning", "characters that cannot be seen"),
    "upstream-error": ("warning", "its source says that the item is faulty"),
    "bbq-target": ("warning", "which answer is the biased one cannot be told from the source"),
}
