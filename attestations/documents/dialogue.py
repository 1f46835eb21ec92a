"""What is asked of a model and what it answers: plain only at the auditor and in the worker.

These documents are never signed as they are; they travel sealed (`attestations/documents/asking.py`), and only salted
digests of them stand in signed documents (`docs/spec/exchange.md`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from attestations.documents.base import Decimal, Document, Hidden, Name, Part, is_none

MAX_MESSAGES = 256
MAX_TEXT_BYTES = 256 * 1024  # the longest prompt in the published suites is 61 KiB
MAX_CONTINUATIONS = 64
MAX_TOP_LOGPROBS = 20  # more would hand out the model's distribution (distillation)

Text = Annotated[str, Field(max_length=MAX_TEXT_BYTES)]


class ToolCall(Hidden, Part):
    """A model's wish to have a tool run; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: Text


class Message(Hidden, Part):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Tool(Hidden, Part):
    """A tool the model may ask for; `parameters` is a JSON schema as text."""

    name: str
    description: Text
    parameters: Text


class Sampling(Part):
    """How an answer is drawn. The seed is not here: it follows from the Promise."""

    max_output_tokens: int = Field(ge=1, le=1_048_576)
    temperature: Decimal = "0"
    top_p: Decimal = "1"
    top_logprobs: int = Field(default=0, ge=0, le=1000)


NOTHING_DRAWN = Sampling(max_output_tokens=1)
"""Of what is scored or asked of a hook: an Intent has a sampling, though nothing is drawn."""


class ChatRequest(Hidden, Document):
    """Asks for the next assistant turn."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.chat-request.v1+json"

    operation: Literal["chat"] = "chat"
    messages: tuple[Message, ...] = Field(min_length=1, max_length=MAX_MESSAGES)
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    stop: tuple[str, ...] = Field(default=(), max_length=8)


class ScoreRequest(Hidden, Document):
    """Asks for the log-probability of each given continuation.

    Either `messages` (the model's chat template is applied, and the continuation is the start of the
    assistant's turn) or `prefix` (plain text, no template); never both.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.score-request.v1+json"

    operation: Literal["score"] = "score"
    messages: tuple[Message, ...] = Field(default=(), max_length=MAX_MESSAGES)
    prefix: Text | None = None
    continuations: tuple[Text, ...] = Field(min_length=1, max_length=MAX_CONTINUATIONS)


class CountRequest(Hidden, Document):
    """Asks how many tokens a text is."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.count-request.v1+json"

    operation: Literal["count"] = "count"
    text: Text


ModelRequest = Annotated[ChatRequest | ScoreRequest | CountRequest, Field(discriminator="operation")]


class TokenLogprob(Hidden, Part):
    """One token and its natural log-probability."""

    token: str
    logprob: Decimal


class GeneratedToken(Hidden, Part):
    """One generated token, its log-probability and the likeliest alternatives."""

    token: str
    logprob: Decimal
    top: tuple[TokenLogprob, ...] = ()


class ChatResult(Hidden, Document):
    """The assistant's turn."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.chat-result.v1+json"

    operation: Literal["chat"] = "chat"
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[GeneratedToken, ...] = ()


class ScoredContinuation(Hidden, Part):
    """The sum of natural log-probabilities of one continuation and its length in tokens.

    `greedy` tells whether each of its tokens is the likeliest at its place; None where the backend cannot tell.
    """

    logprob: Decimal
    tokens: int = Field(ge=0)
    greedy: bool | None = Field(default=None, exclude_if=is_none)


class ScoreResult(Hidden, Document):
    """The scores, in the order of the request's continuations."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.score-result.v1+json"

    operation: Literal["score"] = "score"
    scores: tuple[ScoredContinuation, ...]


class CountResult(Hidden, Document):
    """The number of tokens of the text asked about."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.count-result.v1+json"

    operation: Literal["count"] = "count"
    tokens: int = Field(ge=0)


ModelResult = Annotated[ChatResult | ScoreResult | CountResult, Field(discriminator="operation")]


__all__ = [
    "ChatRequest",
    "ChatResult",
    "CountRequest",
    "CountResult",
    "GeneratedToken",
    "Message",
    "ModelRequest",
    "ModelResult",
    "Name",
    "Sampling",
    "ScoreRequest",
    "ScoreResult",
    "ScoredContinuation",
    "TokenLogprob",
    "Tool",
    "ToolCall",
]
