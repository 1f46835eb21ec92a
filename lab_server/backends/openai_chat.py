"""One turn of chat in the OpenAI form: the request's body, and a stream of chunks back into an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    GeneratedToken,
    Message,
    Sampling,
    TokenLogprob,
    ToolCall,
)
from attestations.documents.exchange import Usage
from lab_server.backends.numbers import count_of, decimal, logprob_of
from lab_server.model_port import Delta, Finished, FinishReason, backend_failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}


def chat_body(request: ChatRequest, sampling: Sampling, *, seed: int, model: str) -> dict[str, Any]:
    """Return the JSON body of `/v1/chat/completions` that asks for the request, streamed."""
    body: dict[str, Any] = {
        "model": model,
        "messages": wire_messages(request.messages),
        "max_tokens": sampling.max_output_tokens,
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description, "parameters": _schema(t.parameters)},
            }
            for t in request.tools
        ]
    if sampling.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
    return body


def wire_messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Return the conversation in the OpenAI form."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in message.tool_calls
            ]
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        turns.append(turn)
    return turns


def _schema(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise backend_failed("unsupported", "a tool's parameters are not a JSON schema object")
    return schema


@dataclass(repr=False)
class _Turn:
    """What has come of the assistant's turn so far."""

    text: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    logprobs: list[GeneratedToken] = field(default_factory=list)
    reason: FinishReason | None = None
    model: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)


async def chat_answer(
    events: AsyncGenerator[dict[str, Any], None], *, top_logprobs: int
) -> AsyncGenerator[Delta | Finished, None]:
    """Turn a stream of chunks into pieces of text and the finished answer.

    Raises:
        BackendFailed: `malformed` for chunks that are none, `truncated` when no finish reason came.
    """
    turn = _Turn()
    try:
        async for event in events:
            try:
                text = _take(turn, event, top_logprobs)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError):
                # ValueError covers pydantic's: a lone surrogate or a text over the limit is nonsense, too.
                raise backend_failed("malformed", "the model's server sent a chunk that is none") from None
            if text:
                turn.text.append(text)
                yield Delta(text)
    finally:
        await events.aclose()
    if turn.reason is None:
        raise backend_failed("truncated", "the model's server gave no finish reason")
    yield _finished(turn)


def _take(turn: _Turn, event: dict[str, Any], top_logprobs: int) -> str:
    if isinstance(event.get("usage"), dict):
        turn.usage = event["usage"]
    if isinstance(event.get("model"), str):
        turn.model = event["model"]
    if not event.get("choices"):
        return ""  # the last chunk holds only the usage
    choice = event["choices"][0]
    if choice.get("finish_reason") is not None:
        turn.reason = _REASONS[choice["finish_reason"]]
    delta = choice.get("delta") or {}
    for call in delta.get("tool_calls") or ():
        known = turn.calls.setdefault(int(call.get("index", 0)), {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        known["id"] = known["id"] or str(call.get("id") or "")
        known["name"] += str(function.get("name") or "")
        known["arguments"] += str(function.get("arguments") or "")
    if top_logprobs:
        for token in (choice.get("logprobs") or {}).get("content") or ():
            turn.logprobs.append(_generated(token, top_logprobs))
    text = delta.get("content") or ""
    if not isinstance(text, str):
        raise TypeError("content is not a text")
    text.encode()  # a lone surrogate would fail later, where nobody expects it
    return text


def _generated(token: dict[str, Any], top_logprobs: int) -> GeneratedToken:
    top = (token.get("top_logprobs") or ())[:top_logprobs]
    return GeneratedToken(
        token=_plain(token["token"]),
        logprob=decimal(logprob_of(token["logprob"])),
        top=tuple(TokenLogprob(token=_plain(t["token"]), logprob=decimal(logprob_of(t["logprob"]))) for t in top),
    )


def _plain(token: str) -> str:
    # A token may end inside a character; what JSON could not say arrives as a lone surrogate.
    return token.encode(errors="replace").decode()


def _finished(turn: _Turn) -> Finished:
    calls = tuple(
        ToolCall(id=c["id"] or f"call-{i}", name=c["name"], arguments=c["arguments"])
        for i, c in sorted(turn.calls.items())
    )
    prompt_details = turn.usage.get("prompt_tokens_details") or {}
    output_details = turn.usage.get("completion_tokens_details") or {}
    return Finished(
        result=ChatResult(content="".join(turn.text), tool_calls=calls, logprobs=tuple(turn.logprobs)),
        usage=Usage(
            input_tokens=count_of(turn.usage.get("prompt_tokens")),
            cached_tokens=count_of(prompt_details.get("cached_tokens")) if isinstance(prompt_details, dict) else 0,
            output_tokens=count_of(turn.usage.get("completion_tokens")),
            reasoning_tokens=count_of(output_details.get("reasoning_tokens"))
            if isinstance(output_details, dict)
            else 0,
        ),
        finish_reason="tool_calls" if calls and turn.reason == "stop" else turn.reason or "stop",
        actual_model=turn.model,
    )
