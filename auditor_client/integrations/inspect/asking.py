"""From Inspect's call to a request of ours: everything is carried over, or refused by name; nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ContentText,
    GenerateConfig,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from pydantic import ValidationError

from attestations.documents.agreement import Scope
from attestations.documents.dialogue import MAX_TOP_LOGPROBS, ChatRequest, Message, Sampling, Tool, ToolCall
from attestations.errors import ScopeExceeded

DEFAULT_MAX_TOKENS = 1024
CARRIED = frozenset({"logprobs", "max_tokens", "stop_seqs", "system_message", "temperature", "top_logprobs", "top_p"})
# What Inspect acts on itself, or what no answer depends on; `cache` and `attempt_timeout` the provider refuses.
BESIDE = frozenset(
    {
        "adaptive_connections",
        "attempt_timeout",
        "cache",
        "cache_prompt",
        "fail_on_refusal",
        "internal_tools",
        "max_connections",
        "max_retries",
        "max_tool_output",
        "stream_idle_timeout",
        "timeout",
    }
)
# The rest has no place in the protocol, options of a later Inspect included. The seed follows from the Promise.
UNSUPPORTED = frozenset(GenerateConfig.model_fields) - CARRIED - BESIDE
_AS_BY_DEFAULT: Mapping[str, tuple[object, ...]] = {
    "num_choices": (1,),
    "parallel_tool_calls": (True,),
    "reasoning_history": ("auto", "none"),  # the exchange carries text, so reasoning of earlier turns is left out
}
MAX_TEMPERATURE = 2
_PLACES = 6
_LEAST = 10**-_PLACES


def chat_request(input: Sequence[ChatMessage], tools: Sequence[ToolInfo], config: GenerateConfig) -> ChatRequest:  # noqa: A002 - Inspect's name
    """Return the request for one call.

    Raises:
        ScopeExceeded: it holds something other than text, or is larger than a request may be.
    """
    try:
        return ChatRequest(
            messages=tuple(_message(message) for message in input),
            tools=tuple(_tool(tool) for tool in tools),
            stop=tuple(config.stop_seqs or ()),
        )
    except ValidationError as error:
        field = ".".join(str(step) for step in error.errors(include_input=False, include_context=False)[0]["loc"])
        raise ScopeExceeded(f"the call is no request of the protocol: {field}", rule="request") from None


def sampling(config: GenerateConfig, scope: Scope) -> Sampling:
    """Return how the answer is drawn; temperature and top_p are 1 where Inspect leaves them open.

    Raises:
        ScopeExceeded: more is asked than the agreement grants.
    """
    longest = scope.max_output_tokens
    wanted = min(longest, DEFAULT_MAX_TOKENS) if config.max_tokens is None else config.max_tokens
    if not 1 <= wanted <= longest:
        raise ScopeExceeded(
            f"an answer of {wanted} tokens is asked for and 1 to {longest} are agreed: set --max-tokens",
            rule="output_tokens",
        )
    top = config.top_logprobs or 0
    if top and not config.logprobs:
        raise ScopeExceeded("alternatives of tokens come with log-probabilities: say --logprobs", rule="top_logprobs")
    top = max(1, top) if config.logprobs else 0
    if top > min(scope.max_top_logprobs, MAX_TOP_LOGPROBS):
        raise ScopeExceeded("more log-probabilities are asked for than agreed", rule="top_logprobs")
    return Sampling(max_output_tokens=wanted, top_logprobs=top, **drawing(config))


def drawing(config: GenerateConfig) -> dict[str, str]:
    """Return temperature and top_p as documents write them.

    Raises:
        ScopeExceeded: one of them is none that a model can be asked at.
    """
    temperature = 1.0 if config.temperature is None else config.temperature
    top_p = 1.0 if config.top_p is None else config.top_p
    if temperature and not _LEAST <= temperature <= MAX_TEMPERATURE:  # rounded to 0 it would draw nothing
        raise ScopeExceeded(f"a temperature is 0, or from {_LEAST} to {MAX_TEMPERATURE}", rule="temperature")
    if not _LEAST <= top_p <= 1:
        raise ScopeExceeded(f"top_p lies from {_LEAST} to 1", rule="top_p")
    return {"temperature": _decimal(temperature), "top_p": _decimal(top_p)}


def check_supported(config: GenerateConfig, tool_choice: ToolChoice, ignored: Container[str]) -> list[str]:
    """Refuse options the protocol does not carry; return those that are left out as they are named to be ignored.

    Raises:
        ScopeExceeded: with the option's name.
    """
    given = ((name, getattr(config, name)) for name in sorted(UNSUPPORTED))
    asked = [name for name, value in given if value is not None and value not in _AS_BY_DEFAULT.get(name, ())]
    if tool_choice not in ("auto", "none"):
        asked.append("tool_choice")
    for name in asked:
        if name not in ignored:
            raise ScopeExceeded(f"the exchange does not carry {name}: leave it out, or say -M ignore={name}", rule=name)
    return asked


def _decimal(number: float) -> str:
    text = f"{number:.{_PLACES}f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def _message(message: ChatMessage) -> Message:
    if isinstance(message, ChatMessageTool):
        failed = message.error
        text = _text(message) if failed is None else f"Error: {failed.message}"
        return Message(role="tool", content=text, tool_call_id=message.tool_call_id)
    calls = (message.tool_calls or ()) if isinstance(message, ChatMessageAssistant) else ()
    return Message(
        role=message.role,
        content=_text(message),
        tool_calls=tuple(
            ToolCall(id=call.id, name=call.function, arguments=json.dumps(call.arguments)) for call in calls
        ),
    )


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    for part in message.content:
        if not isinstance(part, ContentText):
            raise ScopeExceeded(f"a message holds {part.type}: the exchange carries text", rule="content")
    return message.text


def _tool(tool: ToolInfo) -> Tool:
    parameters = tool.parameters.model_dump(mode="json", exclude_none=True)
    return Tool(name=tool.name, description=tool.description, parameters=json.dumps(parameters))
