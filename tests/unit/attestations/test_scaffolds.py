"""What each scaffold asks next, and what it submits: pure functions of method, task and answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    Message,
    Sampling,
    ScoredContinuation,
    ScoreRequest,
    ScoreResult,
)
from attestations.errors import UnaccountedTask
from attestations.scaffolds.answers import Result, after_marker, ballot, majority
from attestations.scaffolds.method import Arm, BestOfN, Decoding, Method, SelfConsistency, Thinking, ToolLoop
from attestations.scaffolds.playing import CLOSING, Ask, Submission, next_step
from attestations.scaffolds.task import Demonstration, Task, demonstration
from attestations.scaffolds.tools import calculate

SAMPLING = Sampling(max_output_tokens=16)
WARM = Decoding(max_output_tokens=64, temperature="0.7")
SHOT = Demonstration("What is 1 + 1?", "2")


def chat(text: str = "What is 2 + 2?", *, type_: str = "numeric", shots: tuple[Demonstration, ...] = ()) -> Task:
    request = ChatRequest(messages=(Message(role="system", content="Be brief."), Message(role="user", content=text)))
    return Task(request, SAMPLING, type_, text, ("four", "five") if type_ == "choice" else (), None, shots)


def scored(shots: tuple[Demonstration, ...] = ()) -> Task:
    request = ScoreRequest(prefix="Question: which?\nAnswer:", continuations=(" red", " blue"))
    return Task(request, Sampling(max_output_tokens=1), "choice", "which?", ("red", "blue"), "normalised", shots)


def says(text: str) -> ChatResult:
    return ChatResult(content=text)


def scores(*logprobs: str) -> ScoreResult:
    return ScoreResult(scores=tuple(ScoredContinuation(logprob=item, tokens=2) for item in logprobs))


def asked(method: Method, task: Task, *answers: Result) -> Any:
    step = next_step(method, task, answers)
    assert isinstance(step, Ask)
    return step.request


def submitted(method: Method, task: Task, *answers: Result) -> Any:
    step = next_step(method, task, answers)
    assert isinstance(step, Submission)
    return step.result


def texts(request: object) -> list[tuple[str, str]]:
    assert isinstance(request, ChatRequest | ScoreRequest)
    assert request.messages is not None
    return [(turn.role, turn.content) for turn in request.messages]


def test_as_shipped_asks_exactly_what_was_committed_and_submits_the_answer() -> None:
    for task, answer in ((chat(), says("4")), (scored(), scores("-1", "-2"))):
        assert next_step(Method(), task, ()) == Ask(task.request, task.sampling)
        assert submitted(Method(), task, answer) == answer


def test_more_answers_than_a_method_asks_for_are_refused() -> None:
    with pytest.raises(UnaccountedTask):
        next_step(Method(), chat(), (says("4"), says("5")))


def test_a_system_prompt_replaces_the_committed_one_and_a_template_stands_around_the_text() -> None:
    method = Method(system="You are a careful expert.", template="### Task\n{prompt}\n### End", decoding=WARM)
    step = next_step(method, chat(), ())
    assert isinstance(step, Ask)
    assert texts(step.request) == [
        ("system", "You are a careful expert."),
        ("user", "### Task\nWhat is 2 + 2?\n### End"),
    ]
    assert step.sampling == Sampling(max_output_tokens=64, temperature="0.7")
    plain = asked(method, scored())
    assert plain.prefix == "You are a careful expert.\n\n### Task\nQuestion: which?\nAnswer:\n### End"


def test_a_text_with_the_name_of_the_place_in_it_is_put_in_once() -> None:
    method = Method(template="[{prompt}]")
    assert texts(asked(method, chat("What is {prompt}?")))[-1] == ("user", "[What is {prompt}?]")


def test_few_shot_shows_dev_tasks_with_their_answers_first() -> None:
    assert texts(asked(Method(shots=(7,)), chat(shots=(SHOT,)))) == [
        ("system", "Be brief."),
        ("user", "What is 1 + 1?"),
        ("assistant", "2"),
        ("user", "What is 2 + 2?"),
    ]
    shown = Demonstration("Question: sky?\nAnswer:", "blue")
    assert asked(Method(shots=(7,)), scored((shown,))).prefix == (
        "Question: sky?\nAnswer: blue\n\nQuestion: which?\nAnswer:"
    )


def test_a_chain_of_thought_submits_what_follows_the_last_marker() -> None:
    method = Method(thinking=Thinking())
    assert texts(asked(method, chat()))[-1][1].endswith(Thinking().instruction)
    assert submitted(method, chat(), says("2 and 2. Answer: 3? No.\n**Answer:** 4")) == says("4")
    assert submitted(method, chat(), says("It is 4.")) == says("It is 4.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>Answer: 3</think>Answer: 4", "4"),
        ("<think>Answer: 3", "<think>Answer: 3"),
        ("Answer:", "Answer:"),
        ("", ""),
    ],
)
def test_what_follows_a_marker(text: str, expected: str) -> None:
    assert after_marker(text, "Answer:") == expected


def test_a_chain_of_thought_about_a_scored_choice_is_closed_by_scores() -> None:
    method = Method(thinking=Thinking())
    first = asked(method, scored())
    assert "- red\n- blue" in first.messages[-1].content
    second = asked(method, scored(), says("Blood is red."))
    assert second.continuations == ("red", "blue")
    assert texts(second)[-2:] == [("assistant", "Blood is red."), ("user", CLOSING)]
    assert submitted(method, scored(), says("Blood is red."), scores("-1", "-5")) == scores("-1", "-5")


def test_self_consistency_submits_the_first_answer_of_the_majority() -> None:
    method = Method(choosing=SelfConsistency(samples=5), decoding=WARM)
    said = [says(text) for text in ("5", "It is 4", "I'm sorry, I can't.", "4.0", "6")]
    for number in range(5):
        assert asked(method, chat(), *said[:number]) == asked(method, chat())
    assert submitted(method, chat(), *said) == says("It is 4")


def test_self_consistency_over_reasonings_of_a_scored_choice() -> None:
    method = Method(choosing=SelfConsistency(samples=3), decoding=WARM, thinking=Thinking())
    said = [
        item
        for pair in zip(
            [says(text) for text in "abc"], [scores("-9", "-1"), scores("-1", "-2"), scores("-3", "-1")], strict=True
        )
        for item in pair
    ]
    assert submitted(method, scored(), *said) == scores("-9", "-1")


def test_votes_are_read_without_the_target() -> None:
    def vote(text: str, task_type: str) -> Any:
        return ballot(says(text), task_type=task_type, options=("four", "five"), scoring=None)

    assert vote("B", "choice") == vote("(b) five", "choice") == 1
    assert vote("about 1,024", "numeric") == 1024
    assert vote("`PWD`.", "exact") == vote("pwd", "exact")
    assert vote("", "exact") is vote("I cannot do that", "exact") is vote("<think>hm", "numeric") is None
    assert majority([None, "a", "b", "b", "a"]) == 1  # of equals the first
    assert majority([None, None]) == 0


def test_best_of_n_by_likelihood_asks_for_scores_of_the_different_samples() -> None:
    method = Method(choosing=BestOfN(by="likelihood", samples=3), decoding=WARM)
    said = (says("four"), says("five"), says("four"))
    request = asked(method, chat(), *said)
    assert request.continuations == ("four", "five")
    assert request.messages == asked(method, chat()).messages
    assert submitted(method, chat(), *said, scores("-4", "-2")) == says("five")
    assert submitted(method, chat(), says("4"), says("4"), says("4")) == says("4")  # nothing to choose


def test_best_of_n_by_a_judge_asks_the_model_which_is_best() -> None:
    method = Method(choosing=BestOfN(by="judge", samples=2), decoding=WARM)
    request = asked(method, chat(), says("four"), says("five"))
    assert "A) four\n\nB) five" in request.messages[-1].content
    assert submitted(method, chat(), says("four"), says("five"), says("B")) == says("five")
    assert submitted(method, chat(), says("four"), says("five"), says("either")) == says("four")


def test_a_tool_loop_shows_what_tools_give_until_there_is_an_answer() -> None:
    method = Method(tools=ToolLoop(tools=("calculator",), turns=4))
    first = asked(method, chat("What is 17 * 23?"))
    assert first.stop == ("Observation:",)
    thought = says("Thought: multiply\nAction: calculator\nInput: 17 * 23\nObservation: 12 (made up)")
    second = asked(method, chat("What is 17 * 23?"), thought)
    assert texts(second)[-2:] == [
        ("assistant", "Thought: multiply\nAction: calculator\nInput: 17 * 23"),
        ("user", "Observation: 391"),
    ]
    assert submitted(method, chat("What is 17 * 23?"), thought, says("Answer: 391")) == says("391")


def test_a_tool_loop_names_tools_it_does_not_have_and_ends_with_its_turns() -> None:
    method = Method(tools=ToolLoop(tools=("calculator",), turns=2))
    wish = says("Action: browser\nInput: example.org")
    assert texts(asked(method, chat(), wish))[-1] == ("user", "Observation: there is no tool browser")
    assert submitted(method, chat(), wish, wish) == says(wish.content)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("-2 ** 2", "-4"),
        ("2 ^ 10", "1024"),
        ("1 / 3", "0.333333333333"),
        ("7 % 3", "1"),
        ("1,024 / 2", "512"),
        ("0.1 + 0.2", "0.3"),
        ("-1 / 8", "-0.125"),
        ("1 / 0", "error: division by zero"),
        ("2 ** 0.5", "error: an exponent is a whole number of at most 64"),
        ("9 ** 64 ** 2", "error: an exponent is a whole number of at most 64"),
        ("(" * 40 + "1" + ")" * 40, "error: nested too deeply"),
        ("(1", "error: a parenthesis is not closed"),
        ("__import__('os')", "error: not an arithmetic expression"),
        ("", "error: not an arithmetic expression"),
        ("1 2", "error: not an arithmetic expression"),
        ("9" * 300, "error: the expression is too long"),
        ("((9**60)**60)**60", "error: the numbers become too large"),
    ],
)
def test_the_calculator_is_exact_and_bounded(expression: str, value: str) -> None:
    assert calculate(expression) == value


@given(st.text(alphabet="0123456789.+-*/()%^ ", max_size=80))
def test_the_calculator_never_fails(expression: str) -> None:
    assert calculate(expression)


@given(st.lists(st.text(max_size=30), min_size=4, max_size=4), st.integers(0, 4))
def test_the_next_step_is_a_function_of_what_came_before(said: list[str], count: int) -> None:
    method = Method(choosing=SelfConsistency(samples=4), decoding=WARM, thinking=Thinking())
    answers = [says(text) for text in said[:count]]
    assert next_step(method, chat(), answers) == next_step(method, chat(), answers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"template": "no place"},
        {"template": "{prompt} {prompt}"},
        {"shots": (1, 1)},
        {"choosing": SelfConsistency(samples=3)},
        {"choosing": SelfConsistency(samples=3), "decoding": Decoding(max_output_tokens=5)},
        {"tools": ToolLoop(tools=("calculator",)), "thinking": Thinking()},
    ],
)
def test_methods_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Method(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "as_shipped", "method": Method(system="x")},
        {"id": "lab_pack", "source": "lab_pack", "method": Method(system="x")},
        {"id": "sft_dev", "source": "fine_tuned", "variant": "deployed"},
    ],
)
def test_arms_that_are_not_what_their_names_say_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Arm(**wrong)


def test_right_answers_are_shown_as_a_model_would_write_them() -> None:
    def prompt(task: Task) -> dict[str, Any]:
        return {
            "type": task.type,
            "question": task.question,
            "options": list(task.options),
            "scoring": task.scoring,
            "request": task.request.json_value(),
            "sampling": task.sampling.json_value(),
        }

    shown = demonstration(prompt(scored()), {"grader": "choice-scored", "answer": 1})
    assert shown == Demonstration("Question: which?\nAnswer:", "blue")
    lettered = demonstration(prompt(chat(type_="choice")), {"grader": "choice-letter", "answer": 1})
    assert lettered is not None
    assert lettered.answer == "B"
    numbered = demonstration(prompt(chat()), {"grader": "numeric", "value": "4"})
    assert numbered is not None
    assert numbered.answer == "4"
    assert demonstration(prompt(chat()), {"grader": "pattern", "pattern": "x"}) is None


CAPITAL = "Which is the capital of France?"


def lettered(shots: tuple[Demonstration, ...] = ()) -> Task:
    text = f"{CAPITAL}\n\nA) Lyon\nB) Paris\nC) Nice\n\nAnswer with the letter only."
    request = ChatRequest(messages=(Message(role="system", content="Be brief."), Message(role="user", content=text)))
    return Task(request, SAMPLING, "choice", CAPITAL, ("Lyon", "Paris", "Nice"), None, shots)


def shown_choice() -> Demonstration:
    prompt: dict[str, Any] = {
        "type": "choice",
        "question": "Which is red?",
        "options": ["sky", "blood"],
        "scoring": "letter",
    }
    prompt |= {"request": lettered().request.json_value(), "sampling": SAMPLING.json_value()}
    found = demonstration(prompt, {"grader": "choice-letter", "answer": 1})
    assert found is not None
    return found


def test_a_format_lays_out_the_choice_and_leaves_all_else_as_committed() -> None:
    step = next_step(Method(format="digit-reversed"), lettered(), ())
    assert isinstance(step, Ask)
    assert step.sampling == SAMPLING
    assert texts(step.request) == [
        ("system", "Be brief."),
        ("user", f"{CAPITAL}\n\n1) Nice\n2) Paris\n3) Lyon\n\nAnswer with the number only."),
    ]
    assert asked(Method(format="plain"), lettered()) == lettered().request
    within = texts(asked(Method(format="tight", template="[{prompt}]"), lettered()))[-1][1]
    assert within == f"[{CAPITAL}\nA) Lyon\nB) Paris\nC) Nice\n\nAnswer with the letter only.]"


def test_a_format_changes_nothing_of_a_task_that_is_no_choice_answered_in_words() -> None:
    for task in (chat(), scored()):
        assert asked(Method(format="roman-dot"), task) == task.request
    eleven = lettered()._replace(options=tuple(map(str, range(11))))
    assert asked(Method(format="roman-dot"), eleven) == eleven.request


def test_demonstrations_of_a_format_are_laid_out_and_answered_in_it() -> None:
    method = Method(format="digit-reversed", shots=(7,), thinking=Thinking())
    asked_for = f"{CAPITAL}\n\n1) Nice\n2) Paris\n3) Lyon\n\nThe final answer is the number only."
    assert texts(asked(method, lettered((shown_choice(),)))) == [
        ("system", "Be brief."),
        ("user", "Which is red?\n\n1) blood\n2) sky\n\nThe final answer is the number only."),
        ("assistant", "Answer: 1"),
        ("user", f"{asked_for}\n\n{Thinking().instruction}"),
    ]
    assert shown_choice().answer == "B"


def test_samples_of_a_format_vote_for_what_they_name_in_it() -> None:
    method = Method(format="digit-reversed", choosing=SelfConsistency(samples=4), decoding=WARM)
    said = [says(text) for text in ("B", "Paris", "3", "2)")]
    assert submitted(method, lettered(), *said) == says("Paris")  # 2 is Paris; B names nothing here


def test_a_format_has_a_known_name_and_a_method_without_one_keeps_its_bytes() -> None:
    with pytest.raises(ValidationError, match="no format has this name"):
        Method(format="comic-sans")
    assert "format" not in Method().json_value()
    assert Method(format="airy").json_value()["format"] == "airy"
    with pytest.raises(ValidationError, match="exactly as committed"):
        Arm(id="as_shipped", method=Method(format="plain"))
