"""The log-probability of given continuations, from token ids alone.

Where the text of prefix and continuation is tokenised as one, the last token of the prefix may merge
with the start of the continuation. Tokenising them apart would score a spelling the model never
learned (" Berlin" at -35 instead of -7). So each continuation is tokenised together with its prefix,
and scoring starts at the last token boundary that *all* of them share with the prefix: the sums are then
of the same event (the rest of the text, given the same tokens) and may be compared. Where nothing merges,
which is the rule with a chat template or a continuation that starts with a space, that boundary is the
prefix's end, and the sum is log p(continuation | prefix) exactly.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attestations.documents.dialogue import Message, ScoredContinuation, ScoreRequest, ScoreResult
from attestations.documents.exchange import Usage
from attestations.errors import ScopeExceeded
from lab_server.backends.numbers import decimal
from lab_server.model_port import Finished, backend_failed

if TYPE_CHECKING:
    from collections.abc import Sequence


class TokenScores(NamedTuple):
    """Natural log-probabilities of tokens in order, how many prompt tokens came from a cache, and the likeliest.

    `greedy` tells whether every token is the likeliest at its place; None where the engine does not say.
    """

    logprobs: list[float]
    cached_tokens: int
    greedy: bool | None = None


class TokenScorer(Protocol):
    """What scoring needs of an engine."""

    async def tokens_of_text(self, text: str) -> list[int]:
        """Return the tokens of plain text, with the model's start token where it has one."""
        ...

    async def tokens_of_chat(self, messages: tuple[Message, ...], continuation: str) -> list[int]:
        """Return the tokens of a templated conversation and the start of the assistant's turn."""
        ...

    async def begin(self, ids: list[int]) -> int | None:
        """Read what all continuations follow, before the first of them is scored.

        Returns:
            How many of its tokens came from a cache that earlier requests filled; None where the engine reads
            every continuation by itself.
        """
        ...

    async def logprobs_from(self, ids: list[int], start: int) -> TokenScores:
        """Return log p(ids[i] | ids[:i]) for each i from `start` (at least 1)."""
        ...


async def score(request: ScoreRequest, scorer: TokenScorer, *, max_context_tokens: int) -> Finished:
    """Score the request's continuations.

    Raises:
        ScopeExceeded: the prefix is no token long, so nothing can be conditioned on it.
        BackendFailed: `context_exceeded`, and what the engine raises.
    """

    async def tokens(continuation: str) -> list[int]:
        if request.prefix is not None:
            return await scorer.tokens_of_text(request.prefix + continuation)
        return await scorer.tokens_of_chat(request.messages, continuation)

    prefix, *wholes = await asyncio.gather(tokens(""), *(tokens(c) for c in request.continuations))
    start = min(_shared(prefix, whole) for whole in wholes)
    if start == 0:
        raise ScopeExceeded("nothing stands before the continuation for the model to go by", feature="score")
    if max_context_tokens and max(map(len, wholes)) > max_context_tokens:
        raise backend_failed("context_exceeded", "the request is longer than the model's context")
    scores: list[ScoredContinuation] = []
    before = await scorer.begin(prefix[:start])
    cached = 0
    for number, whole in enumerate(wholes):  # one after the other: each reuses what the engine has read of the prefix
        scored = await scorer.logprobs_from(whole, start) if len(whole) > start else TokenScores([], 0)
        total = decimal(sum(scored.logprobs))
        scores.append(ScoredContinuation(logprob=total, tokens=len(whole) - start, greedy=scored.greedy))
        cached += min(scored.cached_tokens if number or before is None else before, len(whole))
    return Finished(
        result=ScoreResult(scores=tuple(scores)),
        usage=Usage(input_tokens=sum(map(len, wholes)), cached_tokens=cached, output_tokens=0, reasoning_tokens=0),
        finish_reason="stop",
    )


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    length = 0
    for mine, theirs in zip(left, right, strict=False):
        if mine != theirs:
            break
        length += 1
    return length
