"""A judge behind any OpenAI-compatible endpoint: one deterministic question, one text."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from attestations.errors import ConfigurationInvalid, JudgeUnreachable

MAX_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, repr=False)
class Endpoint:
    """Where the judge is asked; `secret` is sent as a bearer token and shown nowhere."""

    url: str
    model: str
    secret: str | None
    seconds: float

    async def ask(self, text: str) -> str:
        """Return what the model says, at temperature 0.

        Raises:
            JudgeUnreachable: it cannot be reached, or gives no text.
            ConfigurationInvalid: the address is none.
        """
        return await asyncio.to_thread(self._ask, text)

    def _ask(self, text: str) -> str:
        place = urlsplit(self.url)
        if place.scheme not in ("http", "https") or not place.hostname:
            raise ConfigurationInvalid("judge.url is an http or https address", field="judge.url")
        kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
        connection = kind(place.hostname, place.port, timeout=self.seconds)
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": 1024,
        }
        headers = {"Content-Type": "application/json"}
        if self.secret is not None:
            headers["Authorization"] = f"Bearer {self.secret}"
        try:
            connection.request("POST", f"{place.path.rstrip('/')}/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER_BYTES + 1)
        except (OSError, HTTPException):
            raise JudgeUnreachable("the judge cannot be reached", url=place.hostname) from None
        finally:
            connection.close()
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise JudgeUnreachable(f"the judge answers with status {answer.status}", url=place.hostname)
        return _text(data, place.hostname)


def _text(data: bytes, host: str) -> str:
    try:
        value: Any = json.loads(data)
        text = value["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise JudgeUnreachable("the judge's answer holds no text", url=host)
    return text
