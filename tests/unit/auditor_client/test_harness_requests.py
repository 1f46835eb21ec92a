"""What lm-evaluation-harness asks, as requests of ours: nothing is dropped, and what cannot be carried is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attestations.documents.dialogue import ScoreRequest
from attestations.errors import FileUnusable, ScopeExceeded
from auditor_client.commands.harness import lm_eval
from auditor_client.integrations.lm_eval.requests import as_turns, chat_request, score_requests

TURNS = as_turns([{"role": "system", "content": "be short"}, {"role": "user", "content": "q"}])


def test_continuations_of_one_context_are_one_request_in_their_order() -> None:
    groups = score_requests([("a", " x"), ("a", " y"), ("b", " x"), ("a", " z")])

    assert [group.request.prefix for group in groups] == ["a", "b", "a"]
    assert [group.request.continuations for group in groups] == [(" x", " y"), (" x",), (" z",)]
    assert [group.places for group in groups] == [(0, 1), (2,), (3,)]


def test_white_space_at_the_end_of_a_context_belongs_to_the_continuation() -> None:
    [group] = score_requests([("Answer: ", "B")])

    assert (group.request.prefix, group.request.continuations) == ("Answer:", (" B",))


def test_more_continuations_than_a_request_holds_are_several() -> None:
    groups = score_requests([("a", f" {number}") for number in range(130)])

    assert [len(group.places) for group in groups] == [64, 64, 2]
    assert [place for group in groups for place in group.places] == list(range(130))


def test_a_conversation_is_scored_and_continued_by_its_turns() -> None:
    [group] = score_requests([(TURNS, "yes")])
    request, sampling = chat_request(
        TURNS, {"until": ["\n"], "max_gen_toks": 9, "do_sample": False, "temperature": 0.7}
    )

    assert [message.role for message in group.request.messages] == ["system", "user"]
    assert group.request.prefix is None
    assert (request.messages[1].content, request.stop) == ("q", ("\n",))
    assert (sampling.max_output_tokens, sampling.temperature) == (9, "0")


@pytest.mark.parametrize(
    ("options", "temperature"),
    [
        ({}, "0"),
        ({"temperature": 0.7}, "0.7"),  # the harness's other models draw here as well
        ({"temperature": 0.0}, "0"),
        ({"temperature": 0.7, "do_sample": False}, "0"),
        ({"do_sample": True}, "1"),
        ({"temperature": 0.0, "do_sample": True}, "0"),
    ],
)
def test_a_temperature_draws_as_the_harness_has_it(options: dict[str, Any], temperature: str) -> None:
    assert temperature == chat_request(TURNS, options)[1].temperature


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"top_k": 5}, "top_k"),
        ({"until": [str(i) for i in range(9)]}, "request"),
        ({"max_gen_toks": 0}, "max_output_tokens"),
        ({"max_gen_toks": "many"}, "gen_kwargs"),
        ({"temperature": -1.0}, "gen_kwargs"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 7.0}, "gen_kwargs"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ScopeExceeded) as refused:
        chat_request(TURNS, options)
    assert rule == refused.value.facts["rule"]


def test_plain_text_is_not_generated_from_and_nothing_is_scored_after_nothing() -> None:
    with pytest.raises(ScopeExceeded, match="--apply-chat-template"):
        chat_request("Question:", {})
    with pytest.raises(ScopeExceeded, match="nothing stands before"):
        score_requests([("", "text")])


def test_whole_texts_and_begun_turns_are_refused() -> None:
    pytest.importorskip("lm_eval", reason="needs safeconduct[lm-eval]")
    from auditor_client.integrations.lm_eval.model import SafeconductLM

    model = SafeconductLM("main", lambda _: [])
    with pytest.raises(ScopeExceeded):
        model.loglikelihood_rolling([])
    with pytest.raises(ScopeExceeded):
        model.apply_chat_template([{"role": "user", "content": "q"}], add_generation_prompt=False)


@pytest.mark.parametrize("out", [".", "missing/harness.json"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(tmp_path: Path, out: str) -> None:
    with pytest.raises(FileUnusable):
        lm_eval(tasks="sums", home=tmp_path, out=tmp_path / out)


def test_scores_without_a_word_on_greedy_decoding_are_counted() -> None:
    pytest.importorskip("lm_eval", reason="needs safeconduct[lm-eval]")
    from attestations.documents.dialogue import ScoredContinuation, ScoreResult
    from auditor_client.integrations.lm_eval.model import SafeconductLM

    def ask_all(questions: Sequence[Any]) -> Any:
        assert all(isinstance(question.request, ScoreRequest) for question in questions)
        told = (ScoredContinuation(logprob="-1", tokens=1, greedy=True), ScoredContinuation(logprob="-2", tokens=1))
        return [SimpleNamespace(answer=ScoreResult(scores=told)) for _ in questions]

    model = SafeconductLM("main", ask_all)
    found = model.loglikelihood([SimpleNamespace(args=("a", text)) for text in (" x", " y")])

    assert found == [(-1.0, True), (-2.0, False)]
    assert model.unknown_greedy == 1
