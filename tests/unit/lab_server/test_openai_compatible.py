"""A server that misbehaves gives an error with the right code, and never its own words."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from attestations.documents.dialogue import ChatRequest, Message, Sampling, ScoreRequest, ScoreResult
from attestations.errors import BackendFailed, ConfigurationInvalid, FileUnusable, ScopeExceeded
from lab_server.backends.openai_compatible import OpenAICompatibleBackend
from lab_server.model_port import Finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

REQUEST = ChatRequest(messages=(Message(role="user", content="hello"),))
SAMPLING = Sampling(max_output_tokens=5)
EVENTS = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WORD = 'data: {"model":"m","choices":[{"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
END = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def reply(value: object, status: str = "200 OK") -> str:
    body = value if isinstance(value, str) else json.dumps(value)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"


@asynccontextmanager
async def server(answer: Callable[[str, bytes], str | None], *, owner: str = "library") -> AsyncIterator[str]:
    """Serve canned bytes on loopback; None keeps the connection silent."""

    under_way: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        sizes = [int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length")]
        body = await reader.readexactly(sizes[0] if sizes else 0)
        listing = reply({"data": [{"id": "m", "owned_by": owner, "max_model_len": 512}]})
        told = listing if path == "/v1/models" else answer(path, body)
        if told is None:
            await reader.read()  # until the client gives up
        else:
            writer.write(told.encode())
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    finally:
        listening.close()
        await asyncio.gather(*(task for task in under_way if task))


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (EVENTS + WORD, "truncated"),
        (EVENTS + WORD + "data: [DONE]\n\n", "truncated"),
        (EVENTS.replace("close", "close\r\nContent-Length: 9999") + WORD, "truncated"),
        (EVENTS + "data: {not json\n\n", "malformed"),
        (EVENTS + "data: []\n\n", "malformed"),
        (EVENTS + 'data: {"choices":[{"delta":{"content":7}}]}\n\n', "malformed"),
        (EVENTS + 'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n', "malformed"),
        (EVENTS + 'data: {"choices":[{"delta":{},"finish_reason":"whim"}]}\n\n', "malformed"),
        (EVENTS + 'data: {"error":{"message":"hello"}}\n\n', "malformed"),
        (reply("hello", "500 Oops"), "malformed"),
        (reply("hello", "503 Busy"), "unreachable"),
        (reply("hello", "401 No"), "unreachable"),
        (reply({"error": {"message": "maximum context length is 5 tokens: hello"}}, "400 No"), "context_exceeded"),
        ("", "truncated"),
        (None, "stalled"),
    ],
)
async def test_each_misbehaviour_has_its_code_and_quotes_nothing(told: str | None, code: str) -> None:
    async with server(lambda _path, _body: told) as address:
        backend = await OpenAICompatibleBackend.connect(address)
        with pytest.raises(BackendFailed) as failed:
            _ = [
                s async for s in backend.answer(REQUEST, SAMPLING, seed=1, deadline_seconds=0.5 if told is None else 30)
            ]
        await backend.close()

    assert failed.value.facts["code"] == code
    assert "hello" not in f"{failed.value} {failed.value.facts}"


async def test_a_plain_openai_server_chats_and_refuses_what_it_cannot_prove() -> None:
    async with server(lambda _path, _body: EVENTS + ": ping\n\n" + WORD + WORD + END) as address:
        backend = await OpenAICompatibleBackend.connect(address)
        heard = [s async for s in backend.answer(REQUEST, SAMPLING, seed=1, deadline_seconds=5)]
        with pytest.raises(ScopeExceeded):
            backend.answer(ScoreRequest(prefix="a", continuations=("b",)), SAMPLING, seed=1, deadline_seconds=5)
        await backend.close()

    assert len(heard) == 3
    assert isinstance(heard[-1], Finished)
    assert heard[-1].actual_model == "m"


async def test_vllm_scores_by_echo_from_the_boundary_all_continuations_share() -> None:
    def answer(path: str, body: bytes) -> str:
        asked = json.loads(body or b"{}")
        if path == "/tokenize":  # a token for each word
            return reply({"tokens": [len(word) for word in asked["prompt"].split()]})
        if path == "/v1/completions":
            values = [None, *(-0.5 * i for i in range(1, len(asked["prompt"]) + 1))]
            top = [None, *({"a": value, "b": -1.75} for value in values[1:])]  # from the fourth on, b is likelier
            return reply({"choices": [{"logprobs": {"token_logprobs": values, "top_logprobs": top}}]})
        return reply({"version": "1"})

    async with server(answer, owner="vllm") as address:
        backend = await OpenAICompatibleBackend.connect(address)
        request = ScoreRequest(prefix="a bb", continuations=(" ccc", " dddd eeeee"))
        last = [s async for s in backend.answer(request, SAMPLING, seed=1, deadline_seconds=5)][-1]
        await backend.close()

    assert isinstance(last, Finished)
    assert isinstance(last.result, ScoreResult)
    assert [(s.logprob, s.tokens) for s in last.result.scores] == [("-1", 1), ("-2.5", 2)]
    assert [s.greedy for s in last.result.scores] == [True, True]


@pytest.mark.parametrize("address", ["ftp://host/v1", "host:80", "http://", "http://:80"])
async def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        await OpenAICompatibleBackend.connect(address)


async def test_a_server_that_is_not_there_and_a_key_that_is_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BackendFailed) as failed:
        await OpenAICompatibleBackend.connect("http://127.0.0.1:1/v1")
    assert failed.value.facts["code"] == "unreachable"

    with pytest.raises(FileUnusable):
        await OpenAICompatibleBackend.connect("http://127.0.0.1:1/v1", api_key_file=tmp_path / "key")
