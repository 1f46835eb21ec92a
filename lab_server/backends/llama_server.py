"""What llama.cpp's server offers beyond the OpenAI form: its tokeniser, its template, exact scores.

The same code serves the embedded engine and a llama.cpp server somewhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab_server.backends.http_calls import get_json, post_json
from lab_server.backends.numbers import count_of, logprob_of
from lab_server.backends.openai_chat import chat_body, wire_messages
from lab_server.backends.scoring import TokenScores
from lab_server.model_port import backend_failed

if TYPE_CHECKING:
    import httpx

    from attestations.documents.dialogue import ChatRequest, Message, Sampling

_FORCE = 100.0  # added to one token's logit it makes that token certain; the reported value is the one before it
_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this one seed as "any"


def llama_chat_body(
    request: ChatRequest, sampling: Sampling, *, seed: int, model: str, cache: bool = True
) -> dict[str, Any]:
    """Return the body of a chat request with llama.cpp's own samplers switched off.

    Its defaults (top-k 40, min-p 0.05) would cut the distribution that was agreed on; `reasoning_format`
    keeps a model's thinking in the content instead of dropping it. With `cache`, the beginning that a prompt
    shares with the one before it is not read again, which moves the last digits of what follows.
    """
    body = chat_body(request, sampling, seed=seed % _RANDOM_SEED, model=model)
    return body | {"top_k": 0, "min_p": 0.0, "cache_prompt": cache, "reasoning_format": "none"}


async def properties(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the server's `/props`."""
    return await get_json(http, "/props")


async def count_tokens(http: httpx.AsyncClient, text: str) -> int:
    """Return how many tokens `text` is, without start tokens and without reading control tokens in it."""
    return len(await _tokenize(http, text, special=False, start=False))


class LlamaScorer:
    """Scores by forcing each token of a continuation and reading its log-probability (a `TokenScorer`)."""

    def __init__(self, http: httpx.AsyncClient, *, slot: int | None = None, cache: bool = True) -> None:
        """Use `slot` of the engine for all calls (None: as the server likes), so that its cache is met again.

        Without `cache` nothing that was asked before is used: the engine reads every prefix anew, in one go.
        """
        self._http = http
        self._slot = slot
        self._cache = cache

    async def tokens_of_text(self, text: str) -> list[int]:
        """See `TokenScorer`."""
        return await _tokenize(self._http, text, special=False, start=True)

    async def tokens_of_chat(self, messages: tuple[Message, ...], continuation: str) -> list[int]:
        """See `TokenScorer`."""
        reply = await post_json(self._http, "/apply-template", {"messages": wire_messages(messages)})
        prompt = reply.get("prompt")
        if not isinstance(prompt, str):
            raise backend_failed("malformed", "the model's server applied its chat template to nothing")
        return await _tokenize(self._http, prompt + continuation, special=True, start=True)

    async def begin(self, ids: list[int]) -> int | None:
        """See `TokenScorer`.

        Every continuation then begins in the same way, with the last token of the prefix read by itself: what the
        engine gives for it does not hang on how many stand in one request, or on their order.
        """
        if self._slot is None:
            return None  # a server that chooses its slots may score elsewhere
        body = {"prompt": ids, "n_predict": 0, "cache_prompt": self._cache, "id_slot": self._slot}
        return _cached(await post_json(self._http, "/completion", body))

    async def logprobs_from(self, ids: list[int], start: int) -> TokenScores:
        """See `TokenScorer`."""
        logprobs: list[float] = []
        cached, greedy = 0, True
        for position in range(start, len(ids)):
            body: dict[str, Any] = {
                "prompt": ids[:position],
                "n_predict": 1,
                "temperature": 0,
                "n_probs": 1,
                "logit_bias": [[ids[position], _FORCE]],
                "cache_prompt": True,
            }
            if self._slot is not None:
                body["id_slot"] = self._slot
            reply = await post_json(self._http, "/completion", body)
            logprob, likeliest = _forced(reply, ids[position])
            logprobs.append(logprob)
            greedy = greedy and likeliest
            if position == start:
                cached = _cached(reply)
        return TokenScores(logprobs, cached, greedy)


def _cached(reply: dict[str, Any]) -> int:
    timings = reply.get("timings")
    return count_of(timings.get("cache_n")) if isinstance(timings, dict) else 0


def _forced(reply: dict[str, Any], token: int) -> tuple[float, bool]:
    """Return the forced token's log-probability, and whether it was the likeliest before it was forced."""
    try:
        first = reply["completion_probabilities"][0]
        chosen, value, likeliest = first["id"], first["logprob"], first["top_logprobs"][0]["id"]
    except (KeyError, IndexError, TypeError):
        raise backend_failed("malformed", "the model's server gave no log-probability") from None
    if chosen != token:
        raise backend_failed("malformed", "the model's server scored another token than the one asked about")
    return logprob_of(value), likeliest == token


async def _tokenize(http: httpx.AsyncClient, text: str, *, special: bool, start: bool) -> list[int]:
    reply = await post_json(http, "/tokenize", {"content": text, "parse_special": special, "add_special": start})
    tokens = reply.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(t, int) for t in tokens):
        raise backend_failed("malformed", "the model's server gave tokens that are none")
    return tokens
