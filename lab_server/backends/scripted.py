"""A model that says what it is told to: for rehearsals, for tests, and for the walk-through.

It streams word by word and can be told to stall, to break off or to fail. It says in its identity that
it is a script, so no evidence made with it can pass for a real model's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from attestations.digests import sha256
from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    Sampling,
    ScoredContinuation,
    ScoreRequest,
    ScoreResult,
    ToolCall,
)
from attestations.documents.exchange import Usage
from lab_server.backends.answering import Answering, counted
from lab_server.backends.numbers import decimal, logprob_of
from lab_server.backends.script_file import Script, read_script
from lab_server.model_port import (
    BackendIdentity,
    Capabilities,
    Delta,
    Finished,
    FinishReason,
    Request,
    backend_failed,
)

if TYPE_CHECKING:
    from pathlib import Path

Answers: TypeAlias = Sequence[str] | Mapping[str, str | Sequence[str]] | Callable[[ChatRequest, int], str | ChatResult]
"""A list, a table, or a function of the request and the seed; see `Script`."""

Scorer: TypeAlias = Callable[[str, str], float]
"""From (what stands before, continuation) to a natural log-probability."""

_WORD = re.compile(r"\s*\S+|\s+\Z")


class ScriptedBackend(Answering):
    """A model of our own making (a `ModelBackend`)."""

    def __init__(self, answers: Answers = (), *, script: Script | None = None, scorer: Scorer | None = None) -> None:
        """Answer from `answers` where given, else from the script's; `script` also says how to misbehave."""
        self._script = script or Script()
        self._answers: Answers = answers or self._script.answers
        self._scorer = scorer or self._score_of
        self._calls = 0
        self._closed = False

    @classmethod
    def from_file(cls, path: Path) -> ScriptedBackend:
        """Read a script from a TOML or JSON file.

        Raises:
            FileUnusable, ConfigurationInvalid: as `read_script`.
        """
        return cls(script=read_script(path))

    @property
    def capabilities(self) -> Capabilities:
        """Everything but token log-probabilities."""
        return Capabilities(
            chat=True,
            tools=True,
            score=True,
            top_logprobs=0,
            streaming=True,
            seed=True,
            count=True,
            max_context_tokens=self._script.max_context_tokens,
        )

    async def identify(self) -> BackendIdentity:
        """Return an identity that follows from the script (not from a function's code)."""
        kind = "function" if callable(self._answers) else repr(self._answers)
        told = f"{self._script.model_dump_json()}\n{kind}"
        return BackendIdentity("scripted", "1", None, sha256(b""), sha256(told.encode(errors="replace")))

    async def close(self) -> None:
        """Answer no more."""
        self._closed = True

    async def _answer(self, request: Request, sampling: Sampling, seed: int) -> AsyncGenerator[Delta | Finished, None]:
        if self._script.record_calls is not None:
            with open(self._script.record_calls, "a") as calls:  # noqa: ASYNC230, PTH123 - one short line, for rehearsals
                calls.write(sha256(request.to_bytes() + str(seed).encode()) + "\n")
        await asyncio.sleep(self._script.stall_seconds)
        if self._closed:
            raise backend_failed("unreachable", "the scripted model was closed")
        if self._script.fail is not None:
            raise backend_failed(self._script.fail, "the scripted model was told to fail")
        if isinstance(request, CountRequest):
            count = len(_words(request.text))
            yield counted(count, model=self._script.name)
        elif isinstance(request, ScoreRequest):
            yield self._score(request)
        else:
            async for step in self._chat(request, sampling, seed):
                yield step

    async def _chat(
        self, request: ChatRequest, sampling: Sampling, seed: int
    ) -> AsyncGenerator[Delta | Finished, None]:
        asked = sum(len(_words(m.content)) for m in request.messages)
        if asked >= self._script.max_context_tokens:
            raise backend_failed("context_exceeded", "the request is longer than the model's context")
        turn = self._turn(request, sampling, seed)
        full = _before_stop(turn.content, request.stop)
        room = min(sampling.max_output_tokens, self._script.max_context_tokens - asked)
        words = _words(full)
        for position, word in enumerate(words[:room]):
            if position == self._script.truncate_after_tokens:
                raise backend_failed("truncated", "the scripted model was told to break off")
            await asyncio.sleep(self._script.seconds_per_token)
            yield Delta(word)
        if self._script.truncate_after_tokens is not None and len(words) <= self._script.truncate_after_tokens:
            raise backend_failed("truncated", "the scripted model was told to break off")
        reason: FinishReason = "tool_calls" if turn.tool_calls else "stop"
        yield Finished(
            ChatResult(content="".join(words[:room]), tool_calls=turn.tool_calls),
            _usage(asked, min(room, len(words))),
            "length" if len(words) > room else reason,
            actual_model=self._script.name,
        )

    def _turn(self, request: ChatRequest, sampling: Sampling, seed: int) -> ChatResult:
        asked = request.messages[-1].content
        answers = self._answers
        called = self._script.calls.get(asked)
        if called is not None:
            told = ToolCall(
                id=f"call-{len(request.messages)}", name=called.name, arguments=json.dumps(called.arguments)
            )
            return ChatResult(content="", tool_calls=(told,))
        choices: Sequence[str]
        if callable(answers):
            said = answers(request, seed)
            return said if isinstance(said, ChatResult) else ChatResult(content=said)
        if isinstance(answers, Mapping):
            found = answers.get(asked, answers.get(sha256(asked.encode()), ()))
            choices = (found,) if isinstance(found, str) else found
            in_order = 0
        else:
            choices, in_order = answers, self._calls
            self._calls += 1
        if not choices:
            if self._script.otherwise is None:
                raise backend_failed("unsupported", "the script has no answer to this")
            return ChatResult(content=self._script.otherwise)
        drawn = _draw(request, seed) if float(sampling.temperature) > 0 else in_order
        return ChatResult(content=choices[drawn % len(choices)])

    def _score(self, request: ScoreRequest) -> Finished:
        before = request.prefix if request.prefix is not None else request.messages[-1].content
        scores = tuple(
            ScoredContinuation(logprob=decimal(logprob_of(self._scorer(before, text))), tokens=len(_words(text)))
            for text in request.continuations
        )
        asked = sum(len(_words(before)) + score.tokens for score in scores)
        return Finished(ScoreResult(scores=scores), _usage(asked, 0), "stop", actual_model=self._script.name)

    def _score_of(self, before: str, continuation: str) -> float:
        if continuation in self._script.scores:
            return self._script.scores[continuation]
        digest = hashlib.sha256(f"{before}\0{continuation}".encode()).digest()
        return -len(_words(continuation)) * (1 + int.from_bytes(digest[:2], "big") / 2**13)


def _words(text: str) -> list[str]:
    """Return the text cut before each word's white space, so that the pieces joined are the text."""
    return _WORD.findall(text)


def _before_stop(text: str, stops: tuple[str, ...]) -> str:
    return text[: min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=len(text))]


def _draw(request: ChatRequest, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n".encode() + request.to_bytes()).digest()[:8], "big")


def _usage(asked: int, answered: int) -> Usage:
    return Usage(input_tokens=asked, cached_tokens=0, output_tokens=answered, reasoning_tokens=0)
