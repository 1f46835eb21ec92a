"""What vLLM's server offers beyond the OpenAI form: its tokeniser, and log-probabilities of a prompt.

Scoring sends the whole token sequence as a prompt to be echoed: one call for each continuation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attestations.errors import BackendFailed
from lab_server.backends.http_calls import post_json
from lab_server.backends.numbers import logprob_of
from lab_server.backends.openai_chat import wire_messages
from lab_server.backends.scoring import TokenScores
from lab_server.model_port import backend_failed

if TYPE_CHECKING:
    import httpx

    from attestations.documents.dialogue import Message


async def count_tokens(http: httpx.AsyncClient, model: str, text: str) -> int:
    """Return how many tokens `text` is, without start tokens."""
    return len(await _tokenize(http, {"model": model, "prompt": text, "add_special_tokens": False}))


async def can_score(http: httpx.AsyncClient, model: str) -> bool:
    """Return whether the server tokenises and echoes log-probabilities (it may be started without either)."""
    scorer = VllmScorer(http, model)
    try:
        ids = await scorer.tokens_of_text("one two three four")
        return len((await scorer.logprobs_from(ids, 1)).logprobs) == len(ids) - 1 > 0
    except BackendFailed:
        return False


class VllmScorer:
    """Scores by echoing a prompt with its log-probabilities (a `TokenScorer`)."""

    def __init__(self, http: httpx.AsyncClient, model: str) -> None:
        self._http = http
        self._model = model

    async def tokens_of_text(self, text: str) -> list[int]:
        """See `TokenScorer`."""
        return await _tokenize(self._http, {"model": self._model, "prompt": text, "add_special_tokens": True})

    async def tokens_of_chat(self, messages: tuple[Message, ...], continuation: str) -> list[int]:
        """See `TokenScorer`."""
        turns = wire_messages(messages)
        if not continuation:
            return await _tokenize(self._http, {"model": self._model, "messages": turns, "add_generation_prompt": True})
        turns.append({"role": "assistant", "content": continuation})
        return await _tokenize(
            self._http,
            {
                "model": self._model,
                "messages": turns,
                "add_generation_prompt": False,
                "continue_final_message": True,
            },
        )

    async def begin(self, ids: list[int]) -> None:
        """See `TokenScorer`; nothing is kept from one call to the next."""

    async def logprobs_from(self, ids: list[int], start: int) -> TokenScores:
        """See `TokenScorer`."""
        body = {"model": self._model, "prompt": ids, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        reply = await post_json(self._http, "/v1/completions", body)
        try:
            told = reply["choices"][0]["logprobs"]
            values = told["token_logprobs"][start : len(ids)]
        except (KeyError, IndexError, TypeError):
            told, values = {}, []
        if len(values) != len(ids) - start:
            raise backend_failed("malformed", "the model's server did not echo the prompt's log-probabilities")
        logprobs = [logprob_of(value) for value in values]
        return TokenScores(logprobs, 0, _greedy(logprobs, told.get("top_logprobs"), start))


def _greedy(logprobs: list[float], top: object, start: int) -> bool | None:
    likeliest = top[start : start + len(logprobs)] if isinstance(top, list) else []
    if len(likeliest) != len(logprobs) or not all(isinstance(at, dict) and at for at in likeliest):
        return None
    return all(own >= max(map(logprob_of, at.values())) for own, at in zip(logprobs, likeliest, strict=True))


async def _tokenize(http: httpx.AsyncClient, body: dict[str, Any]) -> list[int]:
    tokens = (await post_json(http, "/tokenize", body)).get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(t, int) for t in tokens):
        raise backend_failed("malformed", "the model's server gave tokens that are none")
    return tokens
