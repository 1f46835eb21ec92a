"""The auditor's end of one sandbox: every method is an exchange in the one session the sandbox belongs to."""

from __future__ import annotations

from typing import TypeVar

from attestations.documents.base import decode, encode
from attestations.documents.dialogue import NOTHING_DRAWN
from attestations.documents.hooks import TIERS, SandboxLimits, SandboxStatement, Tier
from attestations.documents.sandboxing import (
    MAX_PART_BYTES,
    Action,
    Close,
    Closed,
    Events,
    Exec,
    Executed,
    Failed,
    Open,
    Opened,
    Read,
    ReadPart,
    Reply,
    SandboxRequest,
    SandboxResult,
    Start,
    Started,
    Variable,
    Wait,
    Write,
    Written,
)
from attestations.errors import MalformedEnvelope, SandboxFileRefused, SandboxLost, SandboxUnavailable
from auditor_client.asked import Answered, Line
from auditor_client.intending import Question
from auditor_client.questioning import Questioner

PURPOSE = "sandbox"
D = TypeVar("D")


class RemoteSandbox:
    """Asks for one sandbox beside one variant over a line of its own."""

    def __init__(self, questioner: Questioner, line: Line, *, variant: str) -> None:
        self._questioner = questioner
        self._line = line
        self._variant = variant
        self.statement: SandboxStatement | None = None
        self.session: str | None = None
        self.exchanges = 0
        self.asked = False
        self.last: Answered | None = None

    async def open(self, *, limits: SandboxLimits, env: dict[str, str], tier: Tier, model: bool = True) -> Opened:
        """Make the sandbox, where programs find the model with `model`; one left in this session is ended first.

        Raises:
            SandboxUnavailable: the lab cannot give one; the fact `code` is the Record's.
            HookRefused, ScopeExceeded and what else asking raises.
        """
        variables = tuple(Variable(name=name, value=value) for name, value in sorted(env.items()))
        wanted = Open(tier=tier, limits=limits, env=variables, model=model)
        try:
            opened = await self._ask(wanted, Opened)
        except SandboxFileRefused:  # BUSY
            await self.close()
            opened = await self._ask(wanted, Opened)
        stated = self.statement
        if stated is None or TIERS.index(stated.tier) < TIERS.index(tier) or stated.limits != opened.limits:
            await self.close()  # nothing of ours has entered it
            raise SandboxUnavailable("the lab signs for a weaker sandbox than was asked for", code="WEAKER")
        return opened

    async def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file, in as many exchanges as it has parts."""
        for start in range(0, len(data) or 1, MAX_PART_BYTES):
            part = data[start : start + MAX_PART_BYTES]
            more = start + MAX_PART_BYTES < len(data)
            await self._ask(Write(path=path, data=encode(part), more=more, executable=executable), Written)

    async def read(self, path: str) -> bytes:
        """Return a file.

        Raises:
            SandboxFileRefused: there is none, or it is no regular file or too large; the fact `rule` says which.
        """
        data = bytearray()
        while True:
            part = await self._ask(Read(path=path, offset=len(data)), ReadPart)
            data += decode(part.data)
            if part.end:
                return bytes(data)

    async def exec(self, argv: tuple[str, ...], *, stdin: bytes = b"", seconds: int = 60) -> Executed:
        """Run a program to its end."""
        return await self._ask(Exec(argv=argv, stdin=encode(stdin), timeout_seconds=seconds), Executed)

    async def start(self, argv: tuple[str, ...], *, seconds: int) -> Started:
        """Start the entry point."""
        return await self._ask(Start(argv=argv, timeout_seconds=seconds), Started)

    async def wait(self, *, after: int, seconds: int, replies: tuple[Reply, ...]) -> Events:
        """Hand over replies and return what has happened."""
        return await self._ask(Wait(after=after, seconds=seconds, replies=replies), Events)

    async def close(self) -> None:
        """End it; harmless where none is."""
        answered = await self._asked(Close())
        if answered.answer is not None:
            self._deed(answered, Closed)

    async def _ask(self, action: Action, kind: type[D]) -> D:
        answered = await self._asked(action)
        if answered.answer is None:
            record = answered.record
            facts = {"code": record.code or "", "status": record.status}
            said = f"the lab's sandbox: {record.status} {record.code or ''}".rstrip()
            raise SandboxUnavailable(said, **facts) if isinstance(action, Open) else SandboxLost(said, **facts)
        return self._deed(answered, kind)

    async def _asked(self, action: Action) -> Answered:
        self.asked = True
        question = Question(SandboxRequest(action=action), self._variant, NOTHING_DRAWN)
        answered = await self._questioner.ask(question, purpose=PURPOSE, line=self._line)
        self.exchanges += 1
        self.last = answered
        self.session = answered.session
        stated = answered.record.hook
        self.statement = stated if isinstance(stated, SandboxStatement) else self.statement
        return answered

    def _deed(self, answered: Answered, kind: type[D]) -> D:
        result = answered.answer
        deed = result.result if isinstance(result, SandboxResult) else None
        if isinstance(deed, Failed):
            raise SandboxFileRefused(f"the sandbox: {deed.code}", rule=deed.code)
        if not isinstance(deed, kind):
            raise MalformedEnvelope("a sandbox answers something else than was asked", session=answered.session)
        return deed
