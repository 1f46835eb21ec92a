"""What a transcript holds is in Inspect's log of it: turns, tools, calls, scores; nothing else is shown as fact."""

from __future__ import annotations

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ModelOutput

from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    GeneratedToken,
    Message,
    Sampling,
    ScoredContinuation,
    ScoreRequest,
    ScoreResult,
    TokenLogprob,
    Tool,
    ToolCall,
)
from attestations.verify.replaying import Answered
from attestations.verify.tally import Answer
from auditor_client.integrations.inspect.dialogues import dialogue

CALL = ToolCall(id="c1", name="add", arguments='{"x": 2}')
REQUEST = ChatRequest(
    messages=(
        Message(role="user", content="two and three?"),
        Message(role="assistant", content="", tool_calls=(CALL,)),
        Message(role="tool", content="5", tool_call_id="c1"),
    ),
    tools=(
        Tool(
            name="add", description="Adds.", parameters='{"type": "object", "properties": {"x": {"type": "integer"}}}'
        ),
        Tool(name="odd", description="", parameters="no schema"),
    ),
    stop=("END",),
)


def answered(request: ChatRequest | ScoreRequest, result: ChatResult | ScoreResult, top: int = 0) -> Answered:
    sampling = Sampling(max_output_tokens=9, temperature="0.5", top_logprobs=top)
    return Answered(Answer(b"", b"", 0, "s-0", 0, sampling), request, result)


def test_calls_of_tools_are_there_in_the_turns_and_in_the_answer() -> None:
    broken = ToolCall(id="c2", name="add", arguments='{"x": "\\ud800"}')
    shown = dialogue(answered(REQUEST, ChatResult(content="", tool_calls=(CALL, broken))), "m")
    _, before, told, last = shown["messages"]
    [event] = shown["events"]

    assert isinstance(before, ChatMessageAssistant)
    assert isinstance(told, ChatMessageTool)
    assert (before.tool_calls or [])[0].arguments == {"x": 2}
    assert told.tool_call_id == "c1"
    assert [(call.function, call.arguments, call.parse_error is None) for call in last.tool_calls] == [
        ("add", {"x": 2}, True),
        ("add", {}, False),
    ]
    assert shown["output"].stop_reason == "tool_calls"
    assert [list(tool.parameters.properties) for tool in event.tools] == [["x"], []]
    assert (event.config.stop_seqs, event.config.temperature, event.config.logprobs) == (["END"], 0.5, None)


def test_log_probabilities_are_there_and_why_an_answer_ended_is_not_made_up() -> None:
    token = GeneratedToken(token="yes", logprob="-0.5", top=(TokenLogprob(token="yes", logprob="-0.5"),))
    output: ModelOutput = dialogue(answered(REQUEST, ChatResult(content="yes", logprobs=(token,)), 1), "m")["output"]
    score = ScoreResult(scores=(ScoredContinuation(logprob="-2", tokens=1),))
    scored: ModelOutput = dialogue(answered(ScoreRequest(prefix="a", continuations=(" b",)), score), "m")["output"]

    assert output.choices[0].logprobs is not None
    assert output.choices[0].logprobs.content[0].logprob == -0.5
    assert (output.stop_reason, scored.stop_reason) == ("unknown", "unknown")
    assert scored.completion == "-2 over 1 tokens:  b"
