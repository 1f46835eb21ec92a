"""Runs an agent beside the model: sends it, starts it, answers what it asks the model, and fetches what it leaves.

Every call of the agent to the model is an exchange of its own in another session: promised, recorded, metered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from attestations.documents.agreement import Scope
from attestations.documents.base import decode
from attestations.documents.dialogue import ChatResult
from attestations.documents.hooks import SandboxLimits, SandboxStatement, Tier
from attestations.documents.sandboxing import (
    MAX_EVENTS,
    CallAnswer,
    CallFailure,
    Event,
    Exited,
    Gone,
    Lost,
    ModelCall,
    Output,
    Reply,
)
from attestations.errors import (
    BudgetExhausted,
    MalformedEnvelope,
    RefusedError,
    SafeconductError,
    SandboxFileRefused,
    SandboxLost,
)
from auditor_client.asked import Answered
from auditor_client.intending import Question
from auditor_client.ports import Journal
from auditor_client.questioning import Questioner
from auditor_client.scaffolds.bundle import Bundle
from auditor_client.scaffolds.sandbox import RemoteSandbox

PURPOSE = "scaffold"  # of the calls to the model
MAX_OUTPUT_BYTES = 16 << 20
_CLOSE_SECONDS = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds
_HTTP_STATUS: Mapping[str, Literal[400, 504]] = {"TIMEOUT": 504, "REFUSED_POLICY": 400}  # by the Record's status
LEFT_OPEN = "scaffold/session"  # in the journal: the session of a sandbox that was not ended


@dataclass(frozen=True)
class RunOptions:
    """What a run asks of the sandbox, how long it may take, and which files to bring back afterwards."""

    limits: SandboxLimits = field(default_factory=SandboxLimits)
    tier: Tier = "process"
    seconds: int = 600
    fetch: tuple[str, ...] = ()
    poll_seconds: int = 10


@dataclass(repr=False)
class ScaffoldRun:
    """How a run went; texts and files are what the agent wrote, so nothing here is fit for a log."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    exited: Exited | None = None
    lost: str | None = None
    statement: SandboxStatement | None = None
    session: str | None = None
    calls: int = 0
    answered: int = 0
    refused: int = 0
    exchanges: int = 0


def left_open(journal: Journal) -> tuple[str, ...]:
    """Return the session whose sandbox a run that was cut short has left, if any: only there can it be ended."""
    name = (journal.recall(LEFT_OPEN) or b"").decode()
    return (name,) if name else ()


OnStep = Callable[[ScaffoldRun], None]


class Runner:
    """Carries one run through."""

    def __init__(self, questioner: Questioner, *, scope: Scope, variant: str, on_step: OnStep = lambda _: None) -> None:
        self._questioner = questioner
        self._scope = scope
        self._variant = variant
        self._on_step = on_step
        self._run = ScaffoldRun()
        self._most_calls = 0
        self._replies: list[Reply] = []
        self._answering: dict[int, asyncio.Task[None]] = {}

    async def run(self, bundle: Bundle, options: RunOptions) -> ScaffoldRun:
        """Run the agent to its end; whatever happens, the sandbox is ended before this returns or raises.

        Raises:
            SandboxUnavailable: the lab gives no such sandbox.
            SafeconductError: what stopped the run; the journal holds every exchange of it.
        """
        journal = self._questioner.journal
        sandbox = RemoteSandbox(self._questioner, self._questioner.own_line(), variant=self._variant)
        try:
            opened = await sandbox.open(limits=options.limits, env=dict(bundle.env), tier=options.tier)
            self._most_calls = min(opened.limits.model_calls, options.limits.model_calls)
            await journal.remember(LEFT_OPEN, (sandbox.session or "").encode())
            for file in bundle.files:
                await sandbox.write(file.path, file.data, executable=file.executable)
            await sandbox.start(bundle.entry, seconds=options.seconds)
            await self._follow(sandbox, options)
            if self._run.lost is None:
                await self._fetch(sandbox, options.fetch)
        finally:
            for task in self._answering.values():
                task.cancel()
            # Also on Ctrl-C: what was opened is ended, in the one session that can.
            await asyncio.shield(_ended(sandbox))
            await journal.remember(LEFT_OPEN, b"")
            self._run.statement, self._run.session = sandbox.statement, sandbox.session
            self._run.exchanges = sandbox.exchanges
        return self._run

    async def _follow(self, sandbox: RemoteSandbox, options: RunOptions) -> None:
        after, pause = 0, _FIRST_PAUSE
        while self._run.exited is None and self._run.lost is None:
            if self._answering and not self._replies:
                # A reply is handed over at once; other calls are looked for less and less often in the meantime.
                await asyncio.wait(self._answering.values(), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = min(2 * pause, _LONGEST_PAUSE)
            replies, self._replies = tuple(self._replies[:MAX_EVENTS]), self._replies[MAX_EVENTS:]
            seconds = 0 if self._answering else options.poll_seconds
            try:
                answer = await sandbox.wait(after=after, seconds=seconds, replies=replies)
            except SandboxLost as error:
                self._run.lost = error.facts.get("code") or error.reason
                return
            if answer.first != after:
                raise MalformedEnvelope("the lab tells events again, or leaves some out", session=sandbox.session or "")
            after += len(answer.events)
            pause = _FIRST_PAUSE if answer.events else pause
            for event in answer.events:
                self._take(event)
            self._on_step(self._run)

    def _take(self, event: Event) -> None:
        run = self._run
        match event:
            case ModelCall():
                # Each is asked at our cost: none twice, and none beyond what the sandbox may make.
                if event.call != run.calls or event.call >= self._most_calls:
                    raise MalformedEnvelope("the lab tells of a call that cannot be", call=str(event.call))
                run.calls += 1
                task = asyncio.create_task(self._answer(event))
                self._answering[event.call] = task
                task.add_done_callback(lambda _: self._answering.pop(event.call, None))
            case Gone():
                pass  # its exchange may have been promised, and a Promise is not taken back
            case Output():
                written = run.stdout if event.stream == "stdout" else run.stderr
                if len(written) < MAX_OUTPUT_BYTES:
                    written += decode(event.data)
            case Exited():
                run.exited = event
            case Lost():
                run.lost = event.code

    async def _answer(self, call: ModelCall) -> None:
        try:
            reply = await self._asked(call)
        except BudgetExhausted:
            reply = CallFailure(call=call.call, status=429, code="insufficient_quota")
        except RefusedError as error:
            reply = CallFailure(call=call.call, status=400, code=error.reason.lower())
        except SafeconductError as error:
            reply = CallFailure(call=call.call, status=502, code=error.reason.lower())
        if isinstance(reply, CallAnswer):
            self._run.answered += 1
        else:
            self._run.refused += 1
        self._replies.append(reply)
        self._on_step(self._run)

    async def _asked(self, call: ModelCall) -> Reply:
        most = self._scope.max_output_tokens
        sampling = call.sampling.model_copy(update={"max_output_tokens": min(call.sampling.max_output_tokens, most)})
        answered = await self._questioner.ask(Question(call.request, self._variant, sampling), purpose=PURPOSE)
        return _reply(call.call, answered)

    async def _fetch(self, sandbox: RemoteSandbox, paths: tuple[str, ...]) -> None:
        for path in paths:
            try:
                self._run.files[path] = await sandbox.read(path)
            except SandboxFileRefused:
                self._run.missing.append(path)


def _reply(call: int, answered: Answered) -> Reply:
    record = answered.record
    if not isinstance(answered.answer, ChatResult) or record.finish_reason is None:
        return CallFailure(
            call=call, status=_HTTP_STATUS.get(record.status, 502), code=(record.code or record.status).lower()
        )
    return CallAnswer(
        call=call,
        result=answered.answer,
        finish_reason=record.finish_reason,
        prompt_tokens=record.usage.input_tokens,
        completion_tokens=record.usage.output_tokens,
    )


async def _ended(sandbox: RemoteSandbox) -> None:
    # Where the lab is away or refuses, its idle limit ends the sandbox.
    if sandbox.asked:
        with suppress(SafeconductError, TimeoutError):
            await asyncio.wait_for(sandbox.close(), _CLOSE_SECONDS)
