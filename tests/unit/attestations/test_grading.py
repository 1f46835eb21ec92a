"""Each grader's rules (`docs/spec/grading.md`), and what it makes of answers that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from attestations.documents.dialogue import ChatResult, CountResult, ScoredContinuation, ScoreResult
from attestations.errors import GraderDigestMismatch, MalformedEnvelope, SafeconductError, UnknownCriticalField
from attestations.formats import FORMATS
from attestations.grading import GRADERS, Grade, chosen_option, grade, grader_digest
from attestations.marks import marks

PROMPT = {"options": ["ls", "cd", "rm"]}
LETTER = {"grader": "choice-letter", "answer": 1}
EXACT = {"grader": "exact", "answers": ["pwd"]}
PATTERN = {"grader": "pattern", "pattern": r"\bchmod\b"}
NUMBER = {"grader": "numeric", "value": "1024"}
TARGETS: list[dict[str, Any]] = [
    LETTER,
    EXACT,
    PATTERN,
    NUMBER,
    {"grader": "choice-scored", "answer": 0, "scoring": "sum"},
]


def said(text: str, target: dict[str, Any]) -> str:
    return grade(target, PROMPT, ChatResult(content=text)).outcome


def scored(scoring: str, *scores: tuple[str, int]) -> Grade:
    result = ScoreResult(scores=tuple(ScoredContinuation(logprob=value, tokens=tokens) for value, tokens in scores))
    return grade({"grader": "choice-scored", "answer": 0, "scoring": scoring}, PROMPT, result)


class TestScoredChoice:
    def test_sums_prefer_the_likelier_text(self) -> None:
        assert Grade("incorrect", "0") == scored("sum", ("-6", 4), ("-5", 1), ("-9", 1))

    def test_normalising_prefers_the_likelier_token(self) -> None:
        assert Grade("correct", "1") == scored("normalised", ("-6", 4), ("-5", 1), ("-9", 1))

    @pytest.mark.parametrize("scoring", ["sum", "normalised"])
    def test_a_tie_is_no_choice(self, scoring: str) -> None:
        assert scored(scoring, ("-1", 3), ("-1", 3), ("-9", 3)).outcome == "invalid"

    def test_a_tie_is_exact_where_decimals_would_differ(self) -> None:
        assert scored("normalised", ("-1", 3), ("-2", 6), ("-9", 1)).outcome == "invalid"

    @pytest.mark.parametrize(
        "scores",
        [
            [("-1", 1), ("-2", 1)],
            [("0", 0), ("-2", 1), ("-3", 1)],
            [("0.1", 1), ("-2", 1), ("-3", 1)],
        ],
    )
    def test_scores_that_are_none_are_invalid(self, scores: list[tuple[str, int]]) -> None:
        assert scored("sum", *scores).outcome == "invalid"


@pytest.mark.parametrize(
    "text", ["B", "b)", "(B)", "B. cd", "**B**", "The answer is B.", "The correct option: (b)", "`cd`"]
)
def test_a_letter_is_found(text: str) -> None:
    assert said(text, LETTER) == "correct"


@pytest.mark.parametrize("text", ["A shell is a program", "Option A or option B", "D", "Because it is", "I think so"])
def test_what_names_no_single_option_is_invalid(text: str) -> None:
    assert said(text, LETTER) == "invalid"


@pytest.mark.parametrize("text", ["\u0130", "\u0131)", "The answer is \u0130", "Option (\u0131)"])
def test_an_i_of_another_alphabet_is_no_letter_and_stops_nobody(text: str) -> None:
    target, prompt = {"grader": "choice-letter", "answer": 8}, {"options": [f"option {n}" for n in range(9)]}
    assert grade(target, prompt, ChatResult(content=text)).outcome == "invalid"
    assert grade(target, prompt, ChatResult(content="I")).outcome == "correct"


@pytest.mark.parametrize("text", ["pwd", "`pwd`.", " PWD\n", '"Pwd!"'])
def test_an_exact_answer_may_differ_in_case_quotes_and_closing_punctuation(text: str) -> None:
    assert said(text, EXACT) == "correct"


@pytest.mark.parametrize(
    ("format_", "text", "outcome"),
    [
        ("reversed", "B", "correct"),
        ("reversed", "A", "incorrect"),
        ("rotated", "A", "correct"),
        ("rotated", "<think>C, or B?</think>The answer is A", "correct"),
        ("digit-reversed", "2", "correct"),
        ("digit-reversed", "B", "invalid"),
        ("digit-bracket", "I'm sorry, I can't say which.", "refused"),
        ("roman-dot", "II.", "correct"),
        ("roman-dot", "cd", "correct"),
        ("roman-dot", "  ", "empty"),
        ("roman-dot", "<think>II", "truncated"),
    ],
)
def test_a_choice_in_a_format_is_graded_against_the_committed_option(format_: str, text: str, outcome: str) -> None:
    form, result = FORMATS[format_], ChatResult(content=text)
    assert grade(LETTER, PROMPT, result, form=form).outcome == outcome
    chosen = {"correct": 1, "incorrect": 2}.get(outcome)
    assert chosen_option(LETTER, PROMPT, result, form) == chosen


def test_the_side_an_answer_takes_is_that_of_the_option_its_format_shows() -> None:
    metadata = ({"bbq_condition": "ambig"}, {"bbq_biased": "0", "bbq_unknown": "1"})
    sides = [
        marks(LETTER, PROMPT, metadata, ChatResult(content="A"), form).bias for form in (None, FORMATS["reversed"])
    ]
    assert [side and side.answer for side in sides] == ["stereotyped", "counter"]


def test_a_format_changes_the_grade_of_nothing_but_a_choice_by_letters() -> None:
    for target, text in ((EXACT, "pwd"), (NUMBER, "1024"), (PATTERN, "chmod")):
        assert grade(target, PROMPT, ChatResult(content=text), form=FORMATS["digit-reversed"]).outcome == "correct"


def test_an_exact_answer_says_nothing_else() -> None:
    assert said("Use pwd", EXACT) == "incorrect"


def test_exact_matching_evens_out_only_what_the_target_names() -> None:
    bare = {**EXACT, "normalise": []}
    assert [said(text, bare) for text in ("pwd", "PWD", "pwd.")] == ["correct", "incorrect", "incorrect"]
    first = {**EXACT, "normalise": ["first_line", "strip_article"]}
    assert said("the pwd\nIt prints the folder.", first) == "correct"


def test_a_pattern_is_found_as_a_word() -> None:
    assert [said(text, PATTERN) for text in ("Use CHMOD here", "chmodding")] == ["correct", "incorrect"]


@pytest.mark.parametrize("text", ["1024", "1,024", "2^10 is 1024.", "It is 1.024e3"])
def test_the_last_number_counts(text: str) -> None:
    assert said(text, NUMBER) == "correct"


@pytest.mark.parametrize("text", ["v1024", "none", "1e999"])
def test_no_number_is_invalid(text: str) -> None:
    assert said(text, NUMBER) == "invalid"


def test_the_larger_tolerance_holds() -> None:
    near = {**NUMBER, "tolerance": "1", "relativeTolerance": "0.01"}
    assert [said(text, near) for text in ("1034", "1034.24", "1034.25")] == ["correct", "correct", "incorrect"]


@pytest.mark.parametrize("target", TARGETS[:4])
class TestEveryReader:
    def test_finds_a_refusal_before_a_wrong_answer(self, target: dict[str, Any]) -> None:
        assert said("I\u2019m sorry, but I can't help with that in 7 ways.", target) == "refused"

    def test_finds_nothing_said(self, target: dict[str, Any]) -> None:
        assert said(" \n\t", target) == "empty"

    def test_finds_thinking_that_never_ended(self, target: dict[str, Any]) -> None:
        assert said("<think>it could be B, or 1024", target) == "truncated"

    def test_takes_no_scores(self, target: dict[str, Any]) -> None:
        assert grade(target, PROMPT, ScoreResult(scores=())).outcome == "invalid"
        assert grade(target, PROMPT, CountResult(tokens=1)).outcome == "invalid"


def test_a_right_answer_counts_however_it_is_introduced() -> None:
    assert said("I'm sorry, I can only say: chmod", PATTERN) == "correct"


def test_finished_thinking_is_left_out() -> None:
    assert said("<think>pwd? no, ls</think>pwd", EXACT) == "correct"
    assert said("ls, surely</think>pwd", EXACT) == "correct"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (None, MalformedEnvelope),
        ({"exact": "yes"}, MalformedEnvelope),
        ({"grader": "judge"}, GraderDigestMismatch),
        ({**EXACT, "answers": []}, MalformedEnvelope),
        ({**EXACT, "hint": "x"}, UnknownCriticalField),
        ({**PATTERN, "pattern": "(a"}, MalformedEnvelope),
        ({**NUMBER, "value": "NaN"}, MalformedEnvelope),
        ({**LETTER, "answer": 3}, MalformedEnvelope),
    ],
)
def test_a_target_its_grader_cannot_read_is_refused(target: Any, error: type[SafeconductError]) -> None:
    with pytest.raises(error):
        grade(target, PROMPT, ChatResult(content="pwd"))


def test_a_choice_without_options_is_refused() -> None:
    with pytest.raises(MalformedEnvelope):
        grade(LETTER, None, ChatResult(content="B"))


def test_graders_have_different_digests() -> None:
    assert len({grader_digest(name) for name in GRADERS}) == len(GRADERS) == 6


def test_an_unknown_grader_has_no_digest() -> None:
    with pytest.raises(GraderDigestMismatch):
        grader_digest("judge")


@given(
    text=st.text(alphabet=st.sampled_from("AB1.,-e<think>/ \n(*'I can"), max_size=200), target=st.sampled_from(TARGETS)
)
def test_any_text_gets_a_grade_and_only_correct_scores(text: str, target: dict[str, Any]) -> None:
    graded = grade(target, PROMPT, ChatResult(content=text))
    assert (graded.outcome == "correct") == (graded.score == "1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    base=st.sampled_from(TARGETS),
    extra=st.dictionaries(st.sampled_from(["answer", "answers", "pattern", "value"]), JSON),
    prompt=JSON,
)
def test_foreign_targets_and_prompts_give_a_grade_or_our_error(
    base: dict[str, Any], extra: dict[str, Any], prompt: Any
) -> None:
    try:
        graded = grade({**base, **extra}, prompt, ChatResult(content="B"))
    except SafeconductError:
        return
    assert graded.outcome in ("correct", "incorrect", "invalid")
