"""From the auditor's reply to the OpenAI form: one JSON body, or the chunks of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attestations.documents.dialogue import ChatResult, GeneratedToken
from attestations.documents.sandboxing import CallAnswer
from lab_server.scaffold_api.asking import Wanted

_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "filtered": "content_filter"}
_TYPES = {400: "invalid_request_error", 404: "invalid_request_error", 413: "invalid_request_error"}
_PIECE = 4096


def completion(answer: CallAnswer, wanted: Wanted, *, variant: str, created: int) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    result = answer.result
    message: dict[str, Any] = {"role": "assistant", "content": result.content, "refusal": None}
    if result.tool_calls:
        message |= {"content": result.content or None, "tool_calls": _calls(result, numbered=False)}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": _FINISH[answer.finish_reason],
        "logprobs": _logprobs(result, wanted),
    }
    return _head(answer, "chat.completion", variant, created) | {"choices": [choice], "usage": _usage(answer)}


def chunks(answer: CallAnswer, wanted: Wanted, *, variant: str, created: int) -> Iterator[bytes]:
    """Give the events of a streamed answer: the role, text, tool calls, the finish reason, the usage if asked for."""
    head = _head(answer, "chat.completion.chunk", variant, created)

    def chunk(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return _event(head | {"choices": [choice]} | ({"usage": None} if wanted.usage_in_stream else {}))

    result = answer.result
    yield chunk({"role": "assistant", "content": ""}, logprobs=_logprobs(result, wanted))
    for start in range(0, len(result.content), _PIECE):
        yield chunk({"content": result.content[start : start + _PIECE]})
    if result.tool_calls:
        yield chunk({"tool_calls": _calls(result, numbered=True)})
    yield chunk({}, _FINISH[answer.finish_reason])
    if wanted.usage_in_stream:
        yield _event(head | {"choices": [], "usage": _usage(answer)})
    yield b"data: [DONE]\n\n"


def models(variant: str) -> dict[str, Any]:
    """Return the list with the one model there is."""
    return {"object": "list", "data": [model(variant)]}


def model(variant: str) -> dict[str, Any]:
    """Return the one model there is."""
    return {"id": variant, "object": "model", "created": 0, "owned_by": "lab"}


def problem(status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """Return the body of an error in the form the `openai` package raises; it repeats nothing of the request."""
    kind = "insufficient_quota" if code == "insufficient_quota" else _TYPES.get(status, "server_error")
    return {"error": {"message": code.replace("_", " "), "type": kind, "param": param, "code": code}}


def _head(answer: CallAnswer, kind: str, variant: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer.call}", "object": kind, "created": created, "model": variant}


def _usage(answer: CallAnswer) -> dict[str, int]:
    read, written = answer.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _calls(result: ChatResult, *, numbered: bool) -> list[dict[str, Any]]:
    return [
        ({"index": number} if numbered else {})
        | {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for number, call in enumerate(result.tool_calls)
    ]


def _logprobs(result: ChatResult, wanted: Wanted) -> dict[str, Any] | None:
    if not wanted.sampling.top_logprobs or not result.logprobs:
        return None
    return {"content": [_token(token) for token in result.logprobs], "refusal": None}


def _token(token: GeneratedToken) -> dict[str, Any]:
    top = [
        {"token": item.token, "logprob": float(item.logprob), "bytes": list(item.token.encode())} for item in token.top
    ]
    plain = {"token": token.token, "logprob": float(token.logprob), "bytes": list(token.token.encode())}
    return plain | {"top_logprobs": top}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
