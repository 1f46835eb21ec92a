"""From Inspect's call to a request of ours: everything is carried over, or refused by name; nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence

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
# What would change which answer is drawn, and has no place in the protocol. The seed follows from the Promise.
UNSUPPORTED = (
    "best_of",
    "extra_body",
    "frequency_penalty",
    "logit_bias",
    "modalities",
    "num_choices",
    "presence_penalty",
    "prompt_logprobs",
    "response_schema",
    "seed",
    "top_k",
)
_PLACES = 6


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
    wanted = config.max_tokens or min(longest, DEFAULT_MAX_TOKENS)
    if wanted > longest:
        raise ScopeExceeded(
            f"an answer of {wanted} tokens is asked for and {longest} are agreed: set --max-tokens",
            rule="output_tokens",
        )
    top = max(1, config.top_logprobs or 0) if config.logprobs else 0
    if top > min(scope.max_top_logprobs, MAX_TOP_LOGPROBS):
        raise ScopeExceeded("more log-probabilities are asked for than agreed", rule="top_logprobs")
    return Sampling(
        max_output_tokens=wanted,
        temperature=decimal(1.0 if config.temperature is None else config.temperature),
        top_p=decimal(1.0 if config.top_p is None else config.top_p),
        top_logprobs=top,
    )


def check_supported(config: GenerateConfig, tool_choice: ToolChoice, ignored: Container[str]) -> None:
    """Refuse options the protocol does not carry, unless they are named as to be ignored.

    Raises:
        ScopeExceeded: with the option's name.
    """
    asked = [name for name in UNSUPPORTED if getattr(config, name) is not None]
    if config.num_choices == 1:
        asked.remove("num_choices")
    if tool_choice not in ("auto", "none"):
        asked.append("tool_choice")
    for name in asked:
        if name not in ignored:
            raise ScopeExceeded(f"the exchange does not carry {name}: leave it out, or say -M ignore={name}", rule=name)


def decimal(number: float) -> str:
    """Return a number as documents write it."""
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
