"""The smallest server of OpenAI's chat over a box's connections: scripted answers, whole or streamed."""

from __future__ import annotations

import json
from typing import Any

from lab_server.sandbox.port import ByteStream


class ScriptedModel:
    """A `StreamHandler` that echoes the last message, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.keys: set[str] = set()

    async def __call__(self, stream: ByteStream) -> None:
        """Serve one connection until its program closes it."""
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = await stream.read(65_536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            size = int(headers.get("content-length", "0"))
            while len(data) < size:
                data += await stream.read(65_536)
            body, data = data[:size], data[size:]
            self.calls += 1
            self.keys.add(headers.get("authorization", ""))
            await self._answer(stream, lines[0].split()[1], json.loads(body or b"{}"))

    async def _answer(self, stream: ByteStream, path: str, asked: dict[str, Any]) -> None:
        if path == "/v1/models":
            await _send(
                stream, {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "lab"}]}
            )
            return
        said = asked["messages"][-1]["content"]
        base = {"id": "c", "created": 0, "model": "m"}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": said.upper()}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            await _send(stream, {**base, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        await stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for letter in said.upper():
            choice = {"index": 0, "finish_reason": None, "delta": {"content": letter}}
            event = json.dumps({**base, "object": "chat.completion.chunk", "choices": [choice]})
            await _chunk(stream, f"data: {event}\n\n".encode())
        await _chunk(stream, b"data: [DONE]\n\n")
        await _chunk(stream, b"")


async def _send(stream: ByteStream, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    await stream.write(head.encode() + data)


async def _chunk(stream: ByteStream, data: bytes) -> None:
    await stream.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
