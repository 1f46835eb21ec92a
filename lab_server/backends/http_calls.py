"""Calls to a model's server: JSON in, JSON or server-sent events out, every failure a `BackendFailed`.

Messages name the status and the path, never a body: a server's error text may quote the prompt.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from lab_server.model_port import FailureCode, backend_failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MAX_REPLY_BYTES = 16 * 1024 * 1024  # 20 alternatives for each of 32,768 tokens stay below it
_CONTEXT_SIGNS = ("exceed_context_size", "context length", "context_length", "context size", "maximum context")


async def get_json(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """GET `path` and return the JSON object it answers with."""
    return await _exchange(http, "GET", path, None)


async def post_json(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST `body` to `path` and return the JSON object it answers with.

    Raises:
        BackendFailed: `unreachable`, `malformed`, `context_exceeded` or `unsupported`.
    """
    return await _exchange(http, "POST", path, body)


async def post_events(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """POST `body` and yield each server-sent event's JSON object up to `[DONE]`.

    Raises:
        BackendFailed: as `post_json`, and `truncated` when the stream ends without `[DONE]`.
    """
    received = 0
    try:
        async with http.stream("POST", path, json=body) as response:
            if not response.is_success:
                raise _refusal(path, response.status_code, await _read(response))
            async for line in response.aiter_lines():
                received += len(line)
                if received > MAX_REPLY_BYTES:
                    raise backend_failed("malformed", "the model's server sent more than an answer can be", path=path)
                field, _, value = line.partition(":")
                if field == "error":
                    raise backend_failed("malformed", "the model's server broke off with an error", path=path)
                if field != "data":
                    continue  # comments and pings keep the connection alive; they say nothing
                if value.strip() == "[DONE]":
                    return
                event = _object(value, path)
                if "error" in event:
                    raise backend_failed("malformed", "the model's server broke off with an error", path=path)
                yield event
    except httpx.RemoteProtocolError:
        raise backend_failed("truncated", "the model's server broke off its answer", path=path) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        raise _unreachable(path, error) from None
    raise backend_failed("truncated", "the model's server ended its answer early", path=path)


async def _exchange(http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    try:
        async with http.stream(method, path, json=body) as response:
            content = await _read(response)
            if not response.is_success:
                raise _refusal(path, response.status_code, content)
    except httpx.RemoteProtocolError:
        raise backend_failed("truncated", "the model's server broke off its answer", path=path) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        raise _unreachable(path, error) from None
    return _object(content, path)


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MAX_REPLY_BYTES:
            raise backend_failed("malformed", "the model's server sent more than an answer can be")
    return bytes(content)


def _object(content: bytes | str, path: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise backend_failed("malformed", "the model's server did not answer with a JSON object", path=path)
    return value


def _refusal(path: str, status: int, content: bytes) -> Exception:
    text = content[:4096].decode(errors="replace").lower()
    code: FailureCode = "malformed"
    message = "the model's server failed"
    if any(sign in text for sign in _CONTEXT_SIGNS):
        code, message = "context_exceeded", "the request is longer than the model's context"
    elif status in (404, 405, 501):
        code, message = "unsupported", "the model's server does not know this call"
    elif status in (401, 403):
        code, message = "unreachable", "the model's server does not accept our key"
    elif status in (429, 502, 503, 504):
        code, message = "unreachable", "the model's server is not ready or too busy"
    elif status in (400, 422):
        code, message = "unsupported", "the model's server refused the request"
    return backend_failed(code, message, path=path, status=str(status))


def _unreachable(path: str, error: Exception) -> Exception:
    if isinstance(error, httpx.ReadTimeout):
        return backend_failed("stalled", "the model's server went silent", path=path)
    if isinstance(error, httpx.ReadError):
        return backend_failed("truncated", "the connection to the model's server broke", path=path)
    if isinstance(error, httpx.DecodingError):
        return backend_failed("malformed", "the model's server sent undecodable bytes", path=path)
    return backend_failed("unreachable", "the model's server cannot be reached", path=path, kind=type(error).__name__)
