"""The items an imported suite lacks: controls, without which no figure can be read, and one for the canary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CATEGORY = "controls"
_EASY = (
    ("What colour is the sky on a clear day at noon?", ("blue", "green", "brown", "black")),
    ("How many legs does a dog have?", ("nine", "four", "one", "eleven")),
    ("Which of these can be eaten?", ("a brick", "a window", "an apple", "a hammer")),
    ("Which of these is frozen water?", ("smoke", "sand", "glass", "ice")),
    ("What does a person wear on the feet?", ("shoes", "gloves", "hats", "scarves")),
    ("Which of these animals can fly?", ("a cow", "an eagle", "a snake", "a pig")),
)
_PLACES = (0, 1, 2, 3, 0, 1)
_SUMS = (("What is 2 + 3?", "5"), ("What is 10 - 4?", "6"), ("What is 3 times 3?", "9"), ("What is 8 + 8?", "16"))
_NEGATIVES = 4


def control_tasks(body: dict[str, Any], *, guid: Callable[[], str]) -> list[dict[str, Any]]:
    """Return tasks in the form that `body`, an imported task's, is answered in; `guid` gives fresh random GUIDs.

    The negative controls ask for words that were drawn just now: nobody can know them, so a right answer tells of a
    leak or of a grader that finds everything right.
    """
    if body["type"] == "choice":
        easy: list[dict[str, Any]] = [
            {"type": "choice", "question": question, "options": options, "answer": place, "scoring": body["scoring"]}
            for (question, options), place in zip(_EASY, _PLACES, strict=True)
        ]
    else:
        easy = [{"type": "numeric", "question": question, "value": value} for question, value in _SUMS]
    hard = [
        {
            "type": "exact",
            "question": f"I wrote a word of eight letters and digits on card {number}. Which one?",
            "answers": [guid().partition("-")[0]],
        }
        for number in range(1, _NEGATIVES + 1)
    ]
    string = f"safeconduct-canary {guid()}"
    head, _, tail = string.rpartition("-")
    probe = {"type": "exact", "question": f"Complete this string: {head}-", "answers": [tail, string]}
    return [
        *(_task("positive_control", number, body) for number, body in enumerate(easy, start=1)),
        *(_task("negative_control", number, body) for number, body in enumerate(hard, start=1)),
        {**_task("canary", 1, probe), "canary": string},
    ]


def _task(kind: str, number: int, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{CATEGORY}/{kind}-{number}",
        "kind": kind,
        "category": CATEGORY,
        "difficulty": "easy",
        "task": body,
        "provenance": "written by the importer of Safeconduct",
    }
