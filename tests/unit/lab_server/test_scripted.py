"""The scripted model follows its script, and a script that is none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attestations.digests import sha256
from attestations.documents.dialogue import ChatRequest, ChatResult, Message, Sampling, ToolCall
from attestations.errors import BackendFailed, ConfigurationInvalid, FileUnusable, SafeconductError
from lab_server.backends.script_file import Script
from lab_server.backends.scripted import ScriptedBackend
from lab_server.model_port import Delta, Finished

if TYPE_CHECKING:
    from pathlib import Path

SAMPLING = Sampling(max_output_tokens=50)


async def said(backend: ScriptedBackend, text: str = "hello", *, seed: int = 0, sampling: Sampling = SAMPLING) -> str:
    request = ChatRequest(messages=(Message(role="user", content=text),))
    last = [s async for s in backend.answer(request, sampling, seed=seed, deadline_seconds=5)][-1]
    assert isinstance(last, Finished)
    assert isinstance(last.result, ChatResult)
    return last.result.content


async def test_a_list_is_said_in_order_and_starts_over() -> None:
    backend = ScriptedBackend(["one", "two"])

    assert [await said(backend) for _ in range(3)] == ["one", "two", "one"]


async def test_a_table_answers_by_the_last_message_or_its_digest() -> None:
    backend = ScriptedBackend({"hello": "by text", sha256(b"hidden"): ("by digest", "or so")})

    assert await said(backend, "hello") == "by text"
    assert await said(backend, "hidden") == "by digest"
    drawn = [
        await said(backend, "hidden", seed=s, sampling=Sampling(max_output_tokens=9, temperature="1"))
        for s in range(20)
    ]
    assert set(drawn) == {"by digest", "or so"}


async def test_a_function_answers_with_text_or_a_wish_for_a_tool() -> None:
    call = ToolCall(id="1", name="clock", arguments="{}")
    backend = ScriptedBackend(lambda _request, seed: ChatResult(content=f"seed {seed}", tool_calls=(call,)))
    request = ChatRequest(messages=(Message(role="user", content="time?"),))
    last = [s async for s in backend.answer(request, SAMPLING, seed=4, deadline_seconds=5)][-1]

    assert isinstance(last, Finished)
    assert last.finish_reason == "tool_calls"
    assert last.result == ChatResult(content="seed 4", tool_calls=(call,))


async def test_a_file_may_have_it_call_a_tool_before_it_answers(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"calls": {"time?": {"name": "clock", "arguments": {"zone": "utc"}}}, "otherwise": "noon"}')
    backend = ScriptedBackend.from_file(script)
    request = ChatRequest(messages=(Message(role="user", content="time?"),))
    last = [s async for s in backend.answer(request, SAMPLING, seed=4, deadline_seconds=5)][-1]

    call = ToolCall(id="call-1", name="clock", arguments='{"zone": "utc"}')
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.result) == ("tool_calls", ChatResult(content="", tool_calls=(call,)))
    assert await said(backend, "12:00") == "noon"


@pytest.mark.parametrize("text", ["", " ", "  two  words \n\n", "one"])
async def test_white_space_survives_streaming(text: str) -> None:
    assert await said(ScriptedBackend(lambda _request, _seed: text)) == text


async def test_a_question_without_an_answer_fails_unless_the_script_says_otherwise() -> None:
    with pytest.raises(BackendFailed):
        await said(ScriptedBackend({"other": "x"}))

    assert await said(ScriptedBackend({"other": "x"}, script=Script(otherwise="no idea"))) == "no idea"


async def test_a_truncated_answer_gives_its_first_words_and_then_fails() -> None:
    backend = ScriptedBackend(["a b c d"], script=Script(truncate_after_tokens=2))
    request = ChatRequest(messages=(Message(role="user", content="q"),))
    heard = []
    with pytest.raises(BackendFailed) as failed:  # noqa: PT012 - the failure comes after the first words
        async for step in backend.answer(request, SAMPLING, seed=0, deadline_seconds=5):
            heard.append(step)  # noqa: PERF401 - the loop ends in the failure

    assert heard == [Delta("a"), Delta(" b")]
    assert failed.value.facts["code"] == "truncated"


async def test_a_script_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('name = "rehearsal"\n[answers]\nhello = "good day"\n')
    (tmp_path / "s.json").write_text('{"answers": ["first"], "fail": "malformed"}')

    assert await said(ScriptedBackend.from_file(tmp_path / "s.toml")) == "good day"
    with pytest.raises(BackendFailed) as failed:
        await said(ScriptedBackend.from_file(tmp_path / "s.json"))
    assert failed.value.facts["code"] == "malformed"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ansers = []", ConfigurationInvalid),
        ("stall_seconds = -1", ConfigurationInvalid),
        ("fail = 'sometimes'", ConfigurationInvalid),
        ("answers = [1, 2]", ConfigurationInvalid),
        ("not toml", ConfigurationInvalid),
        (None, FileUnusable),
    ],
)
def test_a_script_that_is_none_is_named(tmp_path: Path, text: str | None, error: type[SafeconductError]) -> None:
    path = tmp_path / "script.toml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(error) as raised:
        ScriptedBackend.from_file(path)
    assert raised.value.facts["file"] == "script.toml"
