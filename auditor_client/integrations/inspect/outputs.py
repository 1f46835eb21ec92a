"""From a Record and its answer to Inspect's output, with the receipt in its metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    Logprob,
    Logprobs,
    ModelFallback,
    ModelOutput,
    ModelUsage,
    StopDetails,
    StopReason,
    TopLogprob,
)
from inspect_ai.model._call_tools import parse_tool_call  # what every provider of Inspect's own uses
from inspect_ai.tool import ToolCall as InspectCall, ToolInfo

from attestations.documents.dialogue import ChatResult, GeneratedToken, ToolCall
from attestations.documents.exchange import Record, Usage
from attestations.errors import BackendFailed, ScopeExceeded
from auditor_client.asked import Answered

RECEIPT = "safeconduct"
TOO_LONG = "BACKEND_CONTEXT_EXCEEDED"
_REASONS: dict[str | None, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}


def model_output(
    answered: Answered, tools: Sequence[ToolInfo], *, model: str, alternatives: bool, metadata: dict[str, Any]
) -> ModelOutput:
    """Return the output of one call.

    Args:
        answered: how the exchange ended.
        tools: the tools that were offered, to read the model's calls by.
        model: the variant that was asked.
        alternatives: whether likeliest alternatives were asked for beside each token's own log-probability.
        metadata: the receipt.

    Raises:
        ScopeExceeded: the lab's worker refused by policy.
        BackendFailed: the exchange ended without an answer.
    """
    record, answer = answered.record, answered.answer
    if isinstance(answer, ChatResult):
        choice = _choice(answer, record, tools, model, alternatives=alternatives)
    else:
        choice = _unanswered(record, model)
    served = record.router.served
    return ModelOutput(
        model=model,
        choices=[choice],
        usage=_usage(record.usage),
        fallback=ModelFallback(model=model, fallback_model=served or "unknown") if record.router.used else None,
        metadata={RECEIPT: metadata},
    )


def _choice(
    answer: ChatResult, record: Record, tools: Sequence[ToolInfo], model: str, *, alternatives: bool
) -> ChatCompletionChoice:
    calls = [tool_call(call, tools) for call in answer.tool_calls]
    blocked = record.safety_layer.output == "blocked" or record.safety_layer.input == "blocked"
    reason: StopReason = "content_filter" if blocked else _REASONS.get(record.finish_reason, "unknown")
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content=answer.content, tool_calls=calls or None, model=model, source="generate"),
        stop_reason=reason,
        stop_details=_filtered() if reason == "content_filter" else None,
        logprobs=logprobs(answer.logprobs, alternatives=alternatives),
    )


def tool_call(call: ToolCall, tools: Sequence[ToolInfo]) -> InspectCall:
    """Return a model's call of a tool as Inspect reads it; one it cannot read holds why, which the model is told."""
    read = parse_tool_call(call.id, call.name, call.arguments, list(tools))
    try:
        json.dumps(read.arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a character, which JSON can say and no log can be written with: the run would end
        return InspectCall(id=call.id, function=call.name, arguments={}, parse_error="The arguments are no Unicode.")
    return read


def logprobs(tokens: Sequence[GeneratedToken], *, alternatives: bool) -> Logprobs | None:
    """Return the log-probabilities of an answer's tokens, with their likeliest alternatives if those were asked for."""
    return Logprobs(content=[_logprob(token, alternatives=alternatives) for token in tokens]) if tokens else None


def _unanswered(record: Record, model: str) -> ChatCompletionChoice:
    blocked = record.safety_layer.input == "blocked"
    if record.code != TOO_LONG and not blocked:
        if record.status == "REFUSED_POLICY":
            raise ScopeExceeded(f"the lab's worker refused: {record.code}", rule=record.code or "policy")
        raise BackendFailed(f"the exchange ended without an answer: {record.status}", code=record.code or "none")
    return ChatCompletionChoice(
        message=ChatMessageAssistant(content="", model=model, source="generate"),
        stop_reason="content_filter" if blocked else "model_length",
        stop_details=_filtered() if blocked else None,
    )


def _filtered() -> StopDetails:
    return StopDetails(type="refusal", category="safety_layer", explanation="A filter at the lab, as its Record says.")


def _usage(usage: Usage) -> ModelUsage:
    return ModelUsage(
        input_tokens=usage.input_tokens - usage.cached_tokens,
        input_tokens_cache_read=usage.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )


def _logprob(token: GeneratedToken, *, alternatives: bool) -> Logprob:
    top = [TopLogprob(token=item.token, logprob=float(item.logprob)) for item in token.top] if alternatives else None
    return Logprob(token=token.token, logprob=float(token.logprob), top_logprobs=top)
