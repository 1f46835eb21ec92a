"""What every model backend promises, asked of each of them: a script, the embedded engine, a real server."""

from __future__ import annotations

import asyncio
import time

import pytest

from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    CountResult,
    Message,
    Sampling,
    ScoreRequest,
    ScoreResult,
    Tool,
)
from attestations.errors import BackendFailed, ScopeExceeded
from lab_server.model_port import Delta, Finished, ModelBackend, Request

GREEDY = Sampling(max_output_tokens=16)
DRAWN = Sampling(max_output_tokens=16, temperature="1")


def chat(text: str = "What is the capital of France?") -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),))


async def steps(
    backend: ModelBackend, request: Request, sampling: Sampling = GREEDY, *, seed: int = 7, seconds: float = 60
) -> list[Delta | Finished]:
    return [step async for step in backend.answer(request, sampling, seed=seed, deadline_seconds=seconds)]


async def finished(backend: ModelBackend, request: Request, sampling: Sampling = GREEDY, *, seed: int = 7) -> Finished:
    last = (await steps(backend, request, sampling, seed=seed))[-1]
    assert isinstance(last, Finished)
    return last


async def content(backend: ModelBackend, sampling: Sampling, seed: int) -> str:
    result = (await finished(backend, chat(), sampling, seed=seed)).result
    assert isinstance(result, ChatResult)
    return result.content


async def test_deltas_come_first_and_join_to_the_content_of_the_one_finished(backend: ModelBackend) -> None:
    *deltas, last = await steps(backend, chat())

    assert isinstance(last, Finished)
    assert isinstance(last.result, ChatResult)
    assert len(deltas) > 1
    assert last.result.content == "".join(d.text for d in deltas if isinstance(d, Delta))
    assert all(isinstance(d, Delta) and d.text for d in deltas)


async def test_an_answer_names_its_model_and_counts_its_tokens(backend: ModelBackend) -> None:
    last = await finished(backend, chat(), Sampling(max_output_tokens=3))

    assert last.actual_model
    assert "/" not in last.actual_model
    assert last.finish_reason == "length"
    assert last.usage.output_tokens == 3
    assert last.usage.input_tokens >= 6
    assert not last.router_used


async def test_one_seed_draws_one_answer_and_others_draw_others(backend: ModelBackend) -> None:
    assert await content(backend, DRAWN, 11) == await content(backend, DRAWN, 11)
    assert len({await content(backend, DRAWN, seed) for seed in range(8)}) > 1


async def test_the_largest_seed_is_a_seed_and_not_a_wish_for_any(backend: ModelBackend) -> None:
    largest = 2**32 - 1

    assert len({await content(backend, DRAWN, largest) for _ in range(3)}) == 1


async def test_a_stop_text_ends_the_answer_before_it(backend: ModelBackend) -> None:
    whole = await content(backend, GREEDY, 7)
    words = whole.split()
    request = chat().model_copy(update={"stop": (words[2],)})
    result = (await finished(backend, request)).result

    assert isinstance(result, ChatResult)
    assert words[2] not in result.content


async def test_a_likelier_continuation_scores_higher(backend: ModelBackend) -> None:
    request = ScoreRequest(prefix="The capital of France is", continuations=(" London", " Paris"))
    result = (await finished(backend, request)).result

    assert isinstance(result, ScoreResult)
    london, paris = result.scores
    assert float(london.logprob) + 2 < float(paris.logprob) <= 0
    assert (paris.tokens, london.tokens) == (1, 1)
    assert (paris.greedy, london.greedy) in ((True, False), (None, None))  # None: the backend cannot tell


async def test_continuations_of_a_conversation_are_scored_in_their_order(backend: ModelBackend) -> None:
    request = ScoreRequest(messages=chat().messages, continuations=("one", "two words", "one"))
    result = (await finished(backend, request)).result

    assert isinstance(result, ScoreResult)
    first, second, third = result.scores
    assert float(first.logprob) == pytest.approx(float(third.logprob), abs=0.5)
    assert second.tokens > first.tokens


async def test_a_text_is_counted_and_the_empty_text_is_no_tokens(backend: ModelBackend) -> None:
    for text, tokens in (("The capital of France is", 5), ("", 0)):
        result = (await finished(backend, CountRequest(text=text))).result
        assert isinstance(result, CountResult)
        assert result.tokens == tokens


async def test_many_requests_at_once_all_finish(backend: ModelBackend) -> None:
    answers = await asyncio.gather(*(finished(backend, chat(), GREEDY) for _ in range(8)))

    assert [0 < a.usage.output_tokens <= 16 for a in answers] == [True] * 8


async def test_a_deadline_ends_a_slow_answer_and_the_next_one_is_served(backend: ModelBackend) -> None:
    slow = ChatRequest(messages=(Message(role="user", content="Write a long story. " * 40),))
    began = time.monotonic()
    with pytest.raises(BackendFailed) as failed:
        await steps(backend, slow, Sampling(max_output_tokens=700), seconds=0.05)

    assert failed.value.facts["code"] == "stalled"
    assert time.monotonic() - began < 2
    assert (await finished(backend, chat())).usage.output_tokens > 0


async def test_an_answer_given_up_frees_its_place(backend: ModelBackend) -> None:
    for _ in range(5):  # one more than there are slots
        stream = backend.answer(chat(), Sampling(max_output_tokens=500), seed=1, deadline_seconds=60)
        assert isinstance(await anext(stream), Delta)
        await stream.aclose()  # type: ignore[attr-defined]

    assert (await finished(backend, chat())).usage.output_tokens > 0


async def test_a_prompt_beyond_the_context_is_named_as_such_without_quoting_it(backend: ModelBackend) -> None:
    with pytest.raises(BackendFailed) as failed:
        await steps(backend, chat("canary7f3a " * 1100))

    assert failed.value.facts["code"] == "context_exceeded"
    assert "canary" not in f"{failed.value} {failed.value.facts}"


async def test_what_a_backend_cannot_do_is_refused_before_the_model_is_asked(backend: ModelBackend) -> None:
    capabilities = backend.capabilities
    weather = Tool(name="weather", description="tells the weather", parameters="{}")
    asked = (
        (capabilities.tools, chat().model_copy(update={"tools": (weather,)}), GREEDY),
        (False, chat(), Sampling(max_output_tokens=1, top_logprobs=capabilities.top_logprobs + 1)),
    )
    for able, request, sampling in asked:
        if not able:
            with pytest.raises(ScopeExceeded):
                await steps(backend, request, sampling)


async def test_token_logprobs_come_for_each_token_with_the_likeliest_first(backend: ModelBackend) -> None:
    if backend.capabilities.top_logprobs == 0:
        pytest.skip("this backend has no token log-probabilities")
    result = (await finished(backend, chat(), Sampling(max_output_tokens=4, top_logprobs=3))).result

    assert isinstance(result, ChatResult)
    assert [len(token.top) for token in result.logprobs] == [3, 3, 3, 3]
    assert "".join(token.token for token in result.logprobs) == result.content
    for token in result.logprobs:
        assert token.logprob == token.top[0].logprob  # greedy: the chosen one is the likeliest


async def test_an_identity_stays_the_same_and_holds_digests(backend: ModelBackend) -> None:
    identity = await backend.identify()

    assert identity == await backend.identify()
    assert len(identity.fingerprint) == len(identity.template_digest) == 64
    assert identity.name
    assert identity.version
