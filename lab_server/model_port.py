"""The port behind which every model stands, whatever serves it.

A backend never sees agreements, budgets or keys: it gets one request and gives one answer. What a
backend cannot do is a field of `Capabilities`, never a silent approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    CountResult,
    Sampling,
    ScoreRequest,
    ScoreResult,
)
from attestations.errors import BackendFailed, ScopeExceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from attestations.documents.exchange import SafetyLayer, Usage

Request: TypeAlias = ChatRequest | ScoreRequest | CountRequest
Result: TypeAlias = ChatResult | ScoreResult | CountResult
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "filtered"]
FailureCode: TypeAlias = Literal["stalled", "truncated", "unreachable", "malformed", "context_exceeded", "unsupported"]


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do with the model it serves.

    `top_logprobs` is the most alternatives per token it reports (0: no token log-probabilities at all);
    `max_context_tokens` counts prompt and answer together (0: the server does not say).
    """

    chat: bool
    tools: bool
    score: bool
    top_logprobs: int
    streaming: bool
    seed: bool
    count: bool
    max_context_tokens: int


@dataclass(frozen=True)
class BackendIdentity:
    """What the backend knows of the model it serves; digests are SHA-256 as 64 hex digits.

    `model_digest` is None where the weights are out of reach (a remote server). `template_digest` is of
    the chat template, or of the empty text where the server keeps it to itself. `fingerprint` changes
    whenever anything does that could change an answer.
    """

    name: str
    version: str
    model_digest: str | None
    template_digest: str
    fingerprint: str


@dataclass(frozen=True, repr=False)
class Delta:
    """The next piece of a streamed answer's text; never empty."""

    text: str


@dataclass(frozen=True, repr=False)
class Finished:
    """The whole answer, after which nothing follows.

    `actual_model` is the name the server gave to what it served (None: it did not say); `safety` is what
    filters outside the model did (None: the backend has none and reports none).
    """

    result: Result
    usage: Usage
    finish_reason: FinishReason
    actual_model: str | None = None
    router_used: bool = False
    safety: SafetyLayer | None = None


class ModelBackend(Protocol):
    """One model, ready to answer; several answers may be under way at once."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do."""
        ...

    async def identify(self) -> BackendIdentity:
        """Return what is known of the model.

        Raises:
            BackendFailed: the server does not answer.
        """
        ...

    def answer(
        self, request: Request, sampling: Sampling, *, seed: int, deadline_seconds: float
    ) -> AsyncIterator[Delta | Finished]:
        """Yield the answer's pieces as they come, then exactly one `Finished`.

        The texts of the `Delta`s, joined, are the result's `content`. Closing the iterator early stops the
        model. `seed` is 0 to 2^32-1 and decides the answer together with the request and `sampling`.

        Raises:
            ScopeExceeded: an operation or option this backend cannot do.
            BackendFailed: with the fact `code`, one of `FailureCode`; nothing more is yielded.
        """
        ...

    async def close(self) -> None:
        """Free what the backend holds; answers under way fail."""
        ...


def backend_failed(code: FailureCode, message: str, **facts: str) -> BackendFailed:
    """Return the error for a failure of one kind; `message` and `facts` hold no content."""
    return BackendFailed(message, code=code, **facts)


def require_able(capabilities: Capabilities, request: Request, sampling: Sampling) -> None:
    """Refuse a request the backend cannot do in full.

    Raises:
        ScopeExceeded: with the fact `feature`, the field of `Capabilities` that is missing.
    """
    able = {
        "chat": capabilities.chat or not isinstance(request, ChatRequest),
        "tools": capabilities.tools or not (isinstance(request, ChatRequest) and _uses_tools(request)),
        "score": capabilities.score or not isinstance(request, ScoreRequest),
        "count": capabilities.count or not isinstance(request, CountRequest),
        "top_logprobs": not isinstance(request, ChatRequest) or sampling.top_logprobs <= capabilities.top_logprobs,
    }
    for feature, enough in able.items():
        if not enough:
            raise ScopeExceeded(f"the model's backend cannot do this: {feature}", feature=feature)
    if isinstance(request, ScoreRequest) and bool(request.messages) == (request.prefix is not None):
        raise ScopeExceeded("a score request holds either messages or a prefix", feature="score")


def _uses_tools(request: ChatRequest) -> bool:
    return bool(request.tools) or any(m.tool_calls or m.role == "tool" for m in request.messages)
