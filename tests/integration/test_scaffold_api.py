"""What a scaffold finds at 127.0.0.1:8080: the `openai` package unmodified, and every other byte refused in bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.scaffold_api import VARIANT, Auditor, serving

openai = pytest.importorskip("openai")


def client(port: int) -> Any:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")


def hello(text: str = "hello") -> dict[str, Any]:
    return {"model": VARIANT, "messages": [{"role": "user", "content": text}]}


async def test_the_unmodified_client_lists_asks_streams_and_calls_tools() -> None:
    auditor = Auditor()
    async with serving(auditor) as port, client(port) as ask:
        assert [item.id async for item in await ask.models.list()] == [VARIANT]
        said = await ask.chat.completions.create(**hello(), max_tokens=5, seed=7, user="me", stop="END")
        assert (said.choices[0].message.content, said.usage.total_tokens) == ("answer to hello", 7)
        stream = await ask.chat.completions.create(**hello("s"), stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "answer to s"
        assert chunks[-1].usage.prompt_tokens == 3
        tool = {"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}
        called = (await ask.chat.completions.create(**hello(), tools=[tool])).choices[0]
        assert (called.finish_reason, called.message.tool_calls[0].function.name) == ("tool_calls", "bash")
        turns = [{"role": "user", "content": "go"}, called.message.model_dump(exclude_none=True)]
        turns += [{"role": "tool", "tool_call_id": "c-0", "content": [{"type": "text", "text": "a file"}]}]
        await ask.chat.completions.create(model=VARIANT, messages=turns)
    sampling = auditor.wanted[0].sampling
    assert (sampling.max_output_tokens, sampling.temperature, auditor.wanted[0].request.stop) == (5, "1", ("END",))
    assert [turn.role for turn in auditor.wanted[-1].request.messages] == ["user", "assistant", "tool"]


async def test_twenty_calls_at_once_are_each_answered() -> None:
    auditor = Auditor()
    async with serving(auditor) as port, client(port) as ask:
        answers = await asyncio.gather(*(ask.chat.completions.create(**hello(str(i))) for i in range(20)))
    assert [f"answer to {i}" for i in range(20)] == [answer.choices[0].message.content for answer in answers]


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"model": "another"}, "NotFoundError", "model_not_found"),
        ({"n": 2}, "BadRequestError", "unsupported_value"),
        ({"logit_bias": {"5": 3}}, "BadRequestError", "unsupported_value"),
        ({"frequency_penalty": 1}, "BadRequestError", "unsupported_value"),
        ({"response_format": {"type": "json_object"}}, "BadRequestError", "unsupported_value"),
        ({"extra_body": {"guided_regex": ".*"}}, "BadRequestError", "unsupported_parameter"),
        ({"temperature": 3}, "BadRequestError", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "BadRequestError", "unsupported_value"),
        ({"messages": []}, "BadRequestError", "invalid_value"),
        ({"messages": [{"role": "user", "content": "quota"}]}, "RateLimitError", "insufficient_quota"),
    ],
)
async def test_what_is_not_to_be_had_is_refused_by_name_and_not_tried_again(
    changes: dict[str, Any], error: str, code: str
) -> None:
    auditor = Auditor()
    async with serving(auditor) as port, client(port) as ask:
        with pytest.raises(openai.APIStatusError) as raised:
            await ask.chat.completions.create(**{**hello(), **changes})
    assert (type(raised.value).__name__, raised.value.code) == (error, code)
    assert len(auditor.wanted) == (error == "RateLimitError")


async def exchanged(port: int, sent: bytes, *, end: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    if end:
        writer.write_eof()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


def raw(body: bytes, *headers: str) -> bytes:
    head = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"404"),
        (b"POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", b"404"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", b"431"),
        (raw(b"x" * 70_000), b"413"),
        (raw(b"{not json"), b"400"),
        (raw(b"[" * 5000), b"400"),
        (raw(json.dumps({"a": [[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]}).encode()), b"400"),
        (raw(b'{"model":"rehearsed","messages":[{"role":"user","content":"\\ud800"}]}'), b"400"),
    ],
)
async def test_raw_bytes_get_a_status_and_nothing_of_them_back(sent: bytes, status: bytes) -> None:
    async with serving(Auditor()) as port:
        answer = await exchanged(port, sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"NONSENSE" not in answer


async def test_a_program_that_hangs_up_takes_its_call_back() -> None:
    auditor = Auditor()
    async with serving(auditor) as port:
        assert await exchanged(port, raw(json.dumps(hello("slow")).encode())) == b""
        await asyncio.sleep(0.05)
    assert (len(auditor.wanted), auditor.taken_back) == (1, 1)


async def test_a_program_that_says_nothing_is_not_waited_for_long() -> None:
    async with serving(Auditor(), idle_seconds=0.1) as port:
        assert await exchanged(port, b"POST /v1/chat", end=False) == b""


async def test_a_second_request_may_be_sent_before_the_first_is_answered() -> None:
    auditor = Auditor()
    two = raw(json.dumps(hello("one")).encode()) + raw(json.dumps(hello("two")).encode(), "connection: close")
    async with serving(auditor) as port:
        answer = await exchanged(port, two, end=False)
    assert answer.count(b"HTTP/1.1 200") == 2
