"""One open transcript in Inspect's terms: turns, tools, calls and scores of the answer, and how it was drawn."""

from __future__ import annotations

import json
from typing import Any

from inspect_ai.event import ModelEvent
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    GenerateConfig,
    ModelOutput,
)
from inspect_ai.tool import ToolInfo, ToolParams
from pydantic import ValidationError

from attestations.documents.base import Document
from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    Message,
    Sampling,
    ScoreRequest,
    Tool,
)
from attestations.verify.replaying import Answered
from auditor_client.integrations.inspect.outputs import logprobs, tool_call


def dialogue(answered: Answered, model: str) -> dict[str, Any]:
    """Return what a sample of a log holds of one exchange; `model` is what the log calls the model.

    Why an answer ended is signed in its Record, which an opened transcript does not repeat: it stands as unknown but
    for calls of tools, which the answer itself shows.
    """
    request, result, sampling = answered.request, answered.result, answered.signed.sampling
    tools = [_tool(tool) for tool in request.tools] if isinstance(request, ChatRequest) else []
    asked = turns(request)
    message = ChatMessageAssistant(content=_text(request, result), model=model, source="generate")
    choice = ChatCompletionChoice(message=message, stop_reason="unknown")
    if isinstance(result, ChatResult):
        choice.logprobs = logprobs(result.logprobs, alternatives=sampling.top_logprobs > 0)
        if result.tool_calls:
            message.tool_calls, choice.stop_reason = (
                [tool_call(call, tools) for call in result.tool_calls],
                "tool_calls",
            )
    output = ModelOutput(model=model, choices=[choice])
    event = ModelEvent(
        model=model, input=asked, tools=tools, tool_choice="auto", config=_config(request, sampling), output=output
    )
    return {"input": asked, "messages": [*asked, message], "output": output, "events": [event]}


def turns(request: Any) -> list[ChatMessage]:
    """Return what was asked as turns of a conversation."""
    if isinstance(request, CountRequest):
        return [ChatMessageUser(content=request.text)]
    if isinstance(request, ScoreRequest) and request.prefix is not None:
        return [ChatMessageUser(content=request.prefix)]
    if isinstance(request, ChatRequest | ScoreRequest):
        tools = [_tool(tool) for tool in request.tools] if isinstance(request, ChatRequest) else []
        return [_message(message, tools) for message in request.messages]
    return [ChatMessageUser(content=_json(request))]  # of a hook: no turn of a conversation


def _message(message: Message, tools: list[ToolInfo]) -> ChatMessage:
    match message.role:
        case "system":
            return ChatMessageSystem(content=message.content)
        case "user":
            return ChatMessageUser(content=message.content)
        case "assistant":
            calls = [tool_call(call, tools) for call in message.tool_calls]
            return ChatMessageAssistant(content=message.content, tool_calls=calls or None)
        case "tool":
            return ChatMessageTool(content=message.content, tool_call_id=message.tool_call_id)


def _tool(tool: Tool) -> ToolInfo:
    try:
        parameters = ToolParams.model_validate_json(tool.parameters)
    except ValidationError:  # a schema that Inspect has no words for
        parameters = ToolParams()
    return ToolInfo(name=tool.name, description=tool.description, parameters=parameters)


def _config(request: Any, sampling: Sampling) -> GenerateConfig:
    top = sampling.top_logprobs
    return GenerateConfig(
        max_tokens=sampling.max_output_tokens,
        temperature=float(sampling.temperature),
        top_p=float(sampling.top_p),
        stop_seqs=list(request.stop) or None if isinstance(request, ChatRequest) else None,
        logprobs=True if top else None,
        top_logprobs=top or None,
    )


def _text(request: Any, result: Any) -> str:
    if isinstance(result, ChatResult):
        return result.content
    if isinstance(request, CountRequest):
        return f"{result.tokens} tokens"
    if not isinstance(request, ScoreRequest):
        return _json(result)
    rows = zip(request.continuations, result.scores, strict=True)
    return "\n".join(f"{score.logprob} over {score.tokens} tokens: {text}" for text, score in rows)


def _json(document: Document) -> str:
    return json.dumps(document.json_value(), indent=2, ensure_ascii=False)
