"""From a request in the OpenAI form to what the auditor is asked: what has no meaning is ignored, the rest refused.

The lists are those of `docs/spec/hooks.md`; a field that stands in none of them is refused, never passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attestations.documents.base import validated
from attestations.documents.dialogue import ChatRequest, Sampling
from attestations.errors import SafeconductError

DEFAULT_OUTPUT_TOKENS = 1024
MAX_DEPTH = 24
MAX_VALUES = 20_000  # looking at every one takes time that other sessions wait for
MAX_BRACKETS = 50_000  # in text, too: a third of a million empty lists take a second to read
# Nothing here can change what is asked: the seed is fixed by the exchange, and nobody is to be told apart.
IGNORED = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "safety_identifier",
        "seed",
        "service_tier",
        "store",
        "user",
    }
)
# Fields that may be sent with the one value that asks for nothing.
ONLY: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0, None),
    "logit_bias": ({}, None),
    "modalities": (["text"], None),
    "n": (1, None),
    "presence_penalty": (0, None),
    "response_format": ({"type": "text"}, None),
    "tool_choice": ("auto", None),
}
USED = frozenset(
    {"logprobs", "max_completion_tokens", "max_tokens", "messages", "model", "stop", "stream", "stream_options"}
    | {"temperature", "tools", "top_logprobs", "top_p"}
)
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_TURN = frozenset({"content", "name", "refusal", "role", "tool_call_id", "tool_calls", "annotations", "audio"})


class Unacceptable(Exception):
    """A request that is not answered: an HTTP status, a code and the parameter at fault; never its value."""

    def __init__(self, code: str, param: str, *, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.param = param
        self.status = status


@dataclass(frozen=True, repr=False)
class Wanted:
    """What a program wants of the model, and in which form it wants the answer."""

    request: ChatRequest
    sampling: Sampling
    stream: bool
    usage_in_stream: bool


def read_wanted(body: bytes, *, variant: str) -> Wanted:
    """Read the body of `/v1/chat/completions`.

    Raises:
        Unacceptable: it is no such request, or asks for what there is not.
    """
    value = _json(body)
    for name, given in value.items():
        if name in ONLY:
            if given not in ONLY[name] or isinstance(given, bool):
                raise Unacceptable("unsupported_value", name)
        elif name not in USED and name not in IGNORED:
            raise Unacceptable("unsupported_parameter", "body")  # the name is the program's: it is not repeated
    if value.get("model") != variant:
        raise Unacceptable("model_not_found", "model", status=404)
    try:
        request = {
            "messages": [_message(turn) for turn in _list(value, "messages")],
            "tools": [_tool(tool) for tool in _list(value, "tools")],
            "stop": _stop(value.get("stop")),
        }
        options = value.get("stream_options") or {}
        return Wanted(
            request=validated(ChatRequest, request),
            sampling=_sampling(value),
            stream=_flag(value, "stream"),
            usage_in_stream=_flag(options, "include_usage") if isinstance(options, dict) else False,
        )
    except SafeconductError as error:
        raise Unacceptable("invalid_value", error.facts.get("field", "messages")) from None


def _json(body: bytes) -> dict[str, Any]:
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise Unacceptable("invalid_json", "body")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unacceptable("invalid_json", "body") from None
    if not isinstance(value, dict) or not _bounded(value):
        raise Unacceptable("invalid_json", "body")
    return value


def _bounded(value: dict[str, Any]) -> bool:
    """Tell whether a value is neither too deep nor too wide, without looking further than the limits."""
    level: list[Any] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        seen += len(level)
        wider = seen + sum(len(item) for item in level if isinstance(item, dict | list))
        if wider > MAX_VALUES:
            return False
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return False


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unacceptable("invalid_type", name)
    return found


def _flag(value: dict[str, Any], name: str) -> bool:
    found = value.get(name)
    if found is not None and not isinstance(found, bool):
        raise Unacceptable("invalid_type", name)
    return bool(found)


def _message(turn: Any) -> dict[str, Any]:
    if not isinstance(turn, dict) or not turn.keys() <= _TURN or turn.get("audio") or turn.get("annotations"):
        raise Unacceptable("invalid_type", "messages")
    role = _ROLES.get(turn["role"]) if isinstance(turn.get("role"), str) else None
    if role is None:
        raise Unacceptable("invalid_value", "messages.role")
    return {
        "role": role,
        "content": _text(turn.get("content")),
        "toolCalls": [_call(call) for call in _list(turn, "tool_calls")],
        "toolCallId": _string(turn.get("tool_call_id"), "messages.tool_call_id"),
    }


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(parts) != len(content) or not all(isinstance(part, str) for part in parts):
            raise Unacceptable("unsupported_value", "messages.content")  # images, audio, files
        content = "".join(str(part) for part in parts)
    if not isinstance(content, str) or not _whole(content):
        raise Unacceptable("invalid_type", "messages.content")
    return content


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        raise Unacceptable("unsupported_value", "messages.tool_calls")
    return {
        "id": _string(call.get("id"), "messages.tool_calls.id") or "",
        "name": _string(function.get("name"), "messages.tool_calls.name") or "",
        "arguments": _string(function.get("arguments"), "messages.tool_calls.arguments") or "",
    }


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        raise Unacceptable("unsupported_value", "tools")
    schema = function.get("parameters") or {}
    if not isinstance(schema, dict) or function.get("strict"):
        raise Unacceptable("unsupported_value", "tools.parameters")
    return {
        "name": _string(function.get("name"), "tools.name") or "",
        "description": _string(function.get("description"), "tools.description") or "",
        "parameters": json.dumps(schema, separators=(",", ":"), sort_keys=True),
    }


def _string(value: Any, name: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not _whole(value)):
        raise Unacceptable("invalid_type", name)
    return value


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character, which has no UTF-8
        return False
    return True


def _stop(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop and _whole(stop) for stop in stops):
        raise Unacceptable("invalid_type", "stop")
    return stops


def _sampling(value: dict[str, Any]) -> Sampling:
    tokens = value.get("max_completion_tokens") or value.get("max_tokens") or DEFAULT_OUTPUT_TOKENS
    if isinstance(tokens, bool) or not isinstance(tokens, int):
        raise Unacceptable("invalid_type", "max_tokens")
    alternatives = value.get("top_logprobs") or 0
    if isinstance(alternatives, bool) or not isinstance(alternatives, int):
        raise Unacceptable("invalid_type", "top_logprobs")
    return Sampling(
        max_output_tokens=max(1, min(tokens, 1_048_576)),
        temperature=_decimal(value, "temperature", most=2),
        top_p=_decimal(value, "top_p", most=1),
        top_logprobs=max(0, min(alternatives, 20)) if _flag(value, "logprobs") else 0,
    )


def _decimal(value: dict[str, Any], name: str, *, most: int) -> str:
    number = value.get(name)
    if number is None:
        return "1"
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= most:
        raise Unacceptable("invalid_value", name)
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return text or "0"
