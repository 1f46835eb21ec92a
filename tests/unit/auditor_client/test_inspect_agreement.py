"""Our graders and Inspect's scorers on the same answers: where they differ is known, with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai.model import ChatMessageUser, ModelName, ModelOutput
from inspect_ai.scorer import Scorer, Target, answer, choice, exact, includes, match, pattern
from inspect_ai.solver import TaskState, multiple_choice

from attestations.documents.dialogue import ChatResult
from attestations.grading import grade
from auditor_client.integrations.inspect.counterparts import pattern_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own
OPTIONS = ("London", "Paris", "Rome")
TEXTS = (
    "Paris",
    "paris.",
    "**Paris**",
    "The answer is Paris",
    "It is not Rome, it is Paris!",
    "Paris is the capital of France.",
    "PARIS, of course",
    "the Paris",
    "P.a.r.i.s",
    "Rome",
    "I'm sorry, but I can't help with that.",
    "",
    "   ",
    "ANSWER: B",
    "ANSWER: Paris",
    "answer: b.",
    "ANSWER: A\nANSWER: B",
    "ANSWER: A, no wait, ANSWER: B",
    "ANSWER: **B**",
    "B",
    "B) Paris",
    "B is right",
    "A or B",
    "<think>Rome?</think>Paris",
    "<think>it may be Paris",
    "<think>Paris</think>Rome",
    "x " * 1500 + "Paris",
    "42",
    "It costs $1,234.50.",
    "1234.5",
    "1234.5001 in all",
    "about 1e3",
    "first 7, then 42",
    "42 (forty-two)",
)
LATE, THINKS, FIRST = "beyond 2000 characters", "in a think block", "Inspect takes the first match"
NAMED, LAST = "Inspect wants an ANSWER line", "Inspect takes the last ANSWER line"


class Pair(NamedTuple):
    """A scorer, the target our grader has instead of it, and the answers on which they differ."""

    scorer: Scorer
    target: str
    ours: Mapping[str, Any]
    differ: Mapping[str, str]


def found(text: str) -> dict[str, str]:
    return {"grader": "pattern", "pattern": text}


LONG = "x " * 1500 + "Paris"
THOUGHT, UNENDED, THEN = "<think>Paris</think>Rome", "<think>it may be Paris", "<think>Rome?</think>Paris"
PAIRS = {
    "includes": Pair(
        includes(),
        "Paris",
        found(pattern_of("includes", {}, ["Paris"])),
        {LONG: LATE, THOUGHT: THINKS, UNENDED: THINKS},
    ),
    "match": Pair(match(), "Paris", found(pattern_of("match", {}, ["Paris"])), {LONG: LATE, UNENDED: THINKS}),
    "match(exact)": Pair(
        match("exact"), "Paris", found(pattern_of("match", {"location": "exact"}, ["Paris"])), {THEN: THINKS}
    ),
    "exact": Pair(
        exact(),
        "Paris",
        {
            "grader": "exact",
            "answers": ["Paris"],
            "normalise": ["casefold", "collapse_space", "strip_quotes", "strip_punctuation", "strip_article"],
        },
        {"P.a.r.i.s": "Inspect drops punctuation inside", THEN: THINKS},
    ),
    "match(numeric)": Pair(
        match(numeric=True),
        "1234.5",
        {"grader": "numeric", "value": "1234.5"},
        {"1234.5001 in all": "Inspect compares five significant digits"},
    ),
    "pattern": Pair(
        pattern(r"(?:answer|it) is (\w+)"),
        "Paris",
        found(r"(?:answer|it) is paris\b"),
        {"It is not Rome, it is Paris!": FIRST},
    ),
    "answer(word)": Pair(answer("word"), "Paris", found(r"answer\s*:\s*paris\b"), {}),
    "answer(letter)": Pair(answer("letter"), "B", found(r"answer\s*:\s*b\b"), {}),
    "choice": Pair(
        choice(),
        "B",
        {"grader": "choice-letter", "answer": 1},
        {
            "B": NAMED,
            "B) Paris": NAMED,
            "Paris": NAMED,
            "paris.": NAMED,
            "**Paris**": NAMED,
            THEN: NAMED,
            "ANSWER: A\nANSWER: B": LAST,
        },
    ),
}


async def by_inspect(pair: Pair, text: str) -> bool:
    output = ModelOutput.from_content("m", text)
    state = TaskState(
        model=ModelName("m/m"),
        sample_id=1,
        epoch=1,
        input="q",
        messages=[ChatMessageUser(content="q")],
        target=Target(pair.target),
        choices=list(OPTIONS),
        output=output,
    )
    if pair is PAIRS["choice"]:

        async def generate(state: TaskState, **_: Any) -> TaskState:
            state.output = output
            return state

        state = await multiple_choice()(state, generate)  # type: ignore[arg-type]
    score = await pair.scorer(state, Target(pair.target))
    assert score is not None
    return score.value == "C"


def by_us(pair: Pair, text: str) -> bool:
    return grade(dict(pair.ours), {"options": list(OPTIONS)}, ChatResult(content=text)).outcome == "correct"


async def differences(pair: Pair, texts: Sequence[str]) -> set[str]:
    return {text for text in texts if await by_inspect(pair, text) != by_us(pair, text)}


@pytest.mark.parametrize("name", PAIRS)
async def test_scorer_and_grader_differ_on_exactly_these_answers(name: str) -> None:
    assert set(PAIRS[name].differ) == await differences(PAIRS[name], TEXTS)


def test_the_guide_shows_the_table(repository: Path) -> None:
    page = (repository / "docs" / "guides" / "inspect.md").read_text()
    rows = {
        name: (int(same), int(of))
        for name, same, of in re.findall(r"^\| `([^`]+)` .*\| (\d+) of (\d+) \|", page, re.MULTILINE)
    }

    assert rows == {name: (len(TEXTS) - len(pair.differ), len(TEXTS)) for name, pair in PAIRS.items()}
