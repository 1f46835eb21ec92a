"""One session's sandbox in the worker: its files, its programs, and the calls they make to the model."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from attestations.documents.base import decode, encode
from attestations.documents.sandboxing import (
    MAX_EVENTS,
    MAX_FILE_BYTES,
    MAX_PART_BYTES,
    CallFailure,
    Event,
    Events,
    Exec,
    Executed,
    Exited,
    Failed,
    Gone,
    Lost,
    ModelCall,
    Output,
    Read,
    ReadPart,
    Reply,
    Start,
    Started,
    Wait,
    Write,
    Written,
)
from attestations.errors import SandboxFileRefused, SandboxLimit, SandboxLost
from lab_server.sandbox.port import ByteStream, ExecResult, Sandbox
from lab_server.scaffold_api.asking import Wanted
from lab_server.scaffold_api.connection import Served, serve

_OUTPUT_PIECE = 32 * 1024
_MAX_BESIDE = 256  # bytes of an event beside its content
_MAX_UNFETCHED = 8 << 20  # bytes of events; what nobody fetches must not fill the worker's memory


@dataclass(frozen=True)
class Bounds:
    """What the hook bounds beside the sandbox itself."""

    model_calls: int
    body_bytes: int
    idle_seconds: float


class ModelCalls:
    """The calls a sandbox's programs make: each waits for the auditor's reply, and all of them are events."""

    def __init__(self, *, variant: str, bounds: Bounds, happened: Callable[[Event], bool]) -> None:
        self._served = Served(variant, self._ask, bounds.body_bytes, bounds.idle_seconds, time.time)
        self._most = bounds.model_calls
        self._happened = happened
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self.made = 0

    async def serve(self, stream: ByteStream) -> None:
        """Serve one connection."""
        await serve(stream, self._served)

    def reply(self, reply: Reply) -> None:
        """Hand over a reply; nobody may wait for it any more."""
        future = self._waiting.pop(reply.call, None)
        if future is not None and not future.done():
            future.set_result(reply)

    async def _ask(self, wanted: Wanted) -> Reply:
        if self.made >= self._most:
            return CallFailure(call=self.made, status=429, code="insufficient_quota")
        call = self.made
        if not self._happened(ModelCall(call=call, request=wanted.request, sampling=wanted.sampling)):
            return CallFailure(call=call, status=429, code="rate_limit_exceeded")
        self.made += 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[call] = future
        try:
            return await future
        except asyncio.CancelledError:
            self._happened(Gone(call=call))
            raise
        finally:
            self._waiting.pop(call, None)


class ScaffoldBox:
    """A sandbox and what has happened in it that the auditor has not fetched yet."""

    def __init__(self, *, variant: str, bounds: Bounds) -> None:
        self.calls = ModelCalls(variant=variant, bounds=bounds, happened=self._happened)
        self.sandbox: Sandbox | None = None
        self.lost: str | None = None
        self._events: deque[tuple[int, Event]] = deque()
        self._next = 0
        self._unfetched = 0
        self._changed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._jobs = 0
        self._job: asyncio.Task[None] | None = None
        self._coming: tuple[str, bytearray] | None = None
        self._shown: tuple[str, bytes] | None = None

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left, not even a process that is being ended."""
        return self._ending is not None and self._ending.done()

    @property
    def _box(self) -> Sandbox:
        if self.sandbox is None or self.lost is not None:
            raise SandboxLost("the sandbox is gone")
        return self.sandbox

    async def exec(self, action: Exec, *, most_seconds: float) -> Executed | Failed:
        """Run a program to its end."""
        seconds = max(0.1, min(float(action.timeout_seconds), most_seconds))
        ended = await self._box.exec(action.argv, stdin=decode(action.stdin), timeout=seconds)
        stdout, stderr = ended.stdout[:MAX_PART_BYTES], ended.stderr
        stderr = stderr[: MAX_PART_BYTES - len(stdout)]
        return Executed(
            exit_code=ended.rc,
            signal=ended.signal,
            reason=ended.reason,
            stdout=encode(stdout),
            stderr=encode(stderr),
            truncated=ended.truncated or len(stdout) + len(stderr) < len(ended.stdout) + len(ended.stderr),
            wall_ms=round(ended.wall_s * 1000),
        )

    async def write(self, action: Write) -> Written | Failed:
        """Take a part of a file; the last one writes it."""
        path, held = self._coming or ("", bytearray())
        if path != action.path:
            path, held = action.path, bytearray()
        held += decode(action.data)
        if len(held) > MAX_FILE_BYTES:
            self._coming = None
            return Failed(code="FILE_SIZE")
        if action.more:
            self._coming = (path, held)
            return Written()
        self._coming = None
        try:
            await self._box.write(path, bytes(held), mode=0o700 if action.executable else 0o600)
        except SandboxFileRefused as error:
            return _refused(error)
        return Written()

    async def read(self, action: Read) -> ReadPart | Failed:
        """Read a part of a file, of one state of it."""
        if self._shown is None or self._shown[0] != action.path or action.offset == 0:
            self._shown = None
            try:
                self._shown = (action.path, await self._box.read(action.path, max_bytes=MAX_FILE_BYTES))
            except SandboxFileRefused as error:
                return _refused(error)
        data = self._shown[1]
        part = data[action.offset : action.offset + MAX_PART_BYTES]
        end = action.offset + len(part) >= len(data)
        if end:
            self._shown = None
        return ReadPart(data=encode(part), end=end)

    def start(self, action: Start) -> Started | Failed:
        """Start the entry point."""
        box = self._box
        if self._job is not None and not self._job.done():
            return Failed(code="BUSY")
        if self._unfetched > _MAX_UNFETCHED:  # what the jobs before this one wrote
            return Failed(code="UNFETCHED")
        name = f"j-{self._jobs}"
        self._jobs += 1
        self._job = asyncio.create_task(self._run(box, name, action))
        return Started(job=name)

    async def wait(self, action: Wait, *, most_seconds: float) -> Events:
        """Hand over replies and return what has happened from `after` on."""
        for reply in action.replies:
            self.calls.reply(reply)
        while self._events and self._events[0][0] < action.after:
            self._unfetched -= _size(self._events.popleft()[1])
        if not self._events and self.lost is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(max(0.0, min(float(action.seconds), most_seconds))):
                    await self._changed.wait()
            except TimeoutError:
                pass
        first, events, size = self._events[0][0] if self._events else self._next, list[Event](), 0
        for _, event in self._events:
            size += _size(event)
            if events and (len(events) == MAX_EVENTS or size > MAX_PART_BYTES):
                break
            events.append(event)
        return Events(first=first, events=tuple(events))

    async def end(self, code: str) -> None:
        """End everything in the sandbox; `code` says why, to whoever asks later.

        Whoever stops waiting for it, at the deadline of an exchange say, does not stop it.
        """
        if self._ending is None:
            if self.lost is None:
                self.lost = code
                self._happened(Lost(code=code))
            self._coming = self._shown = None
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        sandbox, self.sandbox = self.sandbox, None
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)
        if sandbox is not None:
            await sandbox.close()

    async def _run(self, box: Sandbox, name: str, action: Start) -> None:
        try:
            ended = await box.exec(action.argv, timeout=float(action.timeout_seconds))
        except SandboxLost:
            await self._gone("SANDBOX_LOST")
            return
        except SandboxLimit:
            await self._gone("SANDBOX_LIMIT")
            return
        self._ended(name, ended)

    async def _gone(self, code: str) -> None:
        # Called from within the job: ending the box would wait for this very task.
        self._job = None
        await self.end(code)

    def _ended(self, name: str, ended: ExecResult) -> None:
        self._wrote("stdout", ended.stdout)
        self._wrote("stderr", ended.stderr)
        self._happened(
            Exited(
                job=name,
                exit_code=ended.rc,
                signal=ended.signal,
                reason=ended.reason,
                truncated=ended.truncated,
                wall_ms=round(ended.wall_s * 1000),
            )
        )

    def _wrote(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        for start in range(0, len(data), _OUTPUT_PIECE):
            self._happened(Output(stream=stream, data=encode(data[start : start + _OUTPUT_PIECE])))

    def _happened(self, event: Event) -> bool:
        """Keep an event for the auditor; False if it is a call and too much waits already to be fetched."""
        size = _size(event)
        if isinstance(event, ModelCall) and self._unfetched + size > _MAX_UNFETCHED:
            return False
        self._unfetched += size
        self._events.append((self._next, event))
        self._next += 1
        self._changed.set()
        return True


def _refused(error: SandboxFileRefused) -> Failed:
    return Failed(code=f"FILE_{error.facts.get('rule', 'refused').upper()}")


def _size(event: Event) -> int:
    if isinstance(event, ModelCall):
        return _MAX_BESIDE + len(event.request.model_dump_json())
    return _MAX_BESIDE + (len(event.data) if isinstance(event, Output) else 0)
