"""A call of a tool that no tool can be given, as a lab may answer it to end a run: the model is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai.agent import AgentSubmit, react

from attestations.documents.dialogue import ChatRequest, ChatResult, ToolCall
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_inspect_provider import OneFolder, addition, folder, run

__all__ = ["folder"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own


@pytest.mark.parametrize("arguments", ['{"x": "\\ud800", "y": 1}', '{"x":' * 9999, "{no json"])
async def test_a_call_no_tool_can_be_given_is_told_to_the_model_and_ends_nothing(
    audit: Audit, folder: OneFolder, tmp_path: Path, arguments: str
) -> None:
    def answer(request: ChatRequest) -> ChatResult:
        name, said = ("addition", arguments) if request.messages[-1].role == "user" else ("submit", '{"answer": "yes"}')
        return ChatResult(content="", tool_calls=(ToolCall(id="c", name=name, arguments=said),))

    audit.lab.answer = answer
    log = await run(tmp_path, ["two and three?"], solver=react(tools=[addition()], submit=AgentSubmit()))

    assert log.status == "success"
    assert log.samples is not None
    told = [message.error for message in log.samples[0].messages if message.role == "tool"]
    assert [error.type for error in told if error] == ["parsing"]
