"""A running box over a channel: the same for every provider, which brings only the link and the means to end it."""

from __future__ import annotations

import asyncio
import marshal
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attestations.errors import SandboxFileRefused, SandboxLimit, SandboxLost, SandboxUnavailable
from lab_server.sandbox.channel import MARSHAL, Call, Channel
from lab_server.sandbox.inside.framing import MAX_PAYLOAD, Kind
from lab_server.sandbox.port import HOME, Check, EndReason, Evidence, ExecResult, Limits, Spec, Usage

HELLO_SECONDS = 20.0
_GRACE_SECONDS = 5.0  # for a supervisor to end a program it was told to end
_LOOK_SECONDS = 0.5
_START = "from safeconduct_inside.{0} import main; main()"
SUPERVISOR = ("/usr/local/bin/python3", "-I", "-S", "-c", _START.format("supervisor"))
SELF_TEST = ("/usr/local/bin/python3", "-I", "-S", "-c", _START.format("self_test"))
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME, "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
_SEEN_ANSWERS = {"missing", "kind", "size", "denied", "space", "room", "stopped"}


class Cage(Protocol):
    """What a provider put around the supervisor, and how to end it."""

    def oom_kills(self) -> int:
        """How many processes the kernel ended for want of memory so far."""
        ...

    def usage(self) -> tuple[float | None, int | None]:
        """CPU seconds and peak megabytes of everything in the box, None where nothing counts them."""
        ...

    async def destroy(self) -> None:
        """End every process and remove every trace; returns when both are done. Harmless when repeated."""
        ...


class Box:
    """A `Sandbox`."""

    def __init__(self, name: str, spec: Spec, channel: Channel, cage: Cage) -> None:
        self._name = name
        self._spec = spec
        self._limits = spec.limits
        self._channel = channel
        self._cage = cage
        self._evidence: Evidence | None = None
        self._environment = {**ENVIRONMENT, **spec.env}
        self._started = time.monotonic()
        self._over: str | None = None  # the limit of the whole box that was reached
        self._execs = 0
        self._usage: Usage | None = None
        self._closing = asyncio.Lock()
        self._guard: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        """A name that no other box on this machine has."""
        return self._name

    @property
    def evidence(self) -> Evidence:
        """What was enforced and tested."""
        if self._evidence is None:
            raise RuntimeError("the box is not ready")
        return self._evidence

    async def begin(self, *, watch_memory: bool) -> None:
        """Greet the supervisor and give it the limits it enforces.

        Raises:
            SandboxLost: it does not answer.
        """
        hello = {
            "op": "hello",
            "cpu_s": self._limits.cpu_s,
            "pids": self._limits.pids,
            "disk_mb": self._limits.disk_mb,
            "files": self._limits.files,
            "watch_kb": self._limits.memory_mb << 10 if watch_memory else 0,
            "connections": self._limits.model_streams if self._channel.serves_model else 0,
        }
        async with asyncio.timeout(HELLO_SECONDS):
            await self._channel.call(hello)

    async def look(self, looks: Sequence[str], facts: Mapping[str, Any]) -> tuple[Check, ...]:
        """Run the self-test inside and return what it found, in the order of `looks`."""
        limits = {"pids": self._limits.pids, "disk_mb": self._limits.disk_mb}
        call = {"looks": list(looks), "env": list(self._environment), **limits, **facts}
        found, output = await self._channel.call(
            self._exec_call(SELF_TEST, HOME, None, stragglers=True),
            output_limit=MAX_PAYLOAD,
            data=marshal.dumps(call, MARSHAL),
        )
        lines = output.decode(errors="replace").splitlines() if found.get("rc") == 0 else []
        said = {name: (held == "1", words) for name, held, words in (line.split("\t", 2) for line in lines)}
        return tuple(Check(name, *said.get(name, (False, "no answer"))) for name in looks)

    async def ready(self, evidence: Evidence) -> None:
        """Refuse a box whose self-test did not hold; else put the inputs in and start its clock.

        Raises:
            SandboxUnavailable: with the fact `missing`, the first check that did not hold.
        """
        for check in evidence.self_test:
            if not check.held:
                raise SandboxUnavailable(
                    f"the sandbox failed its self-test: {check.name} ({check.found})", missing=check.name
                )
        self._evidence = evidence
        self._started = time.monotonic()
        for path, item in self._spec.inputs.items():
            await self.write(path, item.data, mode=0o700 if item.executable else 0o600)
        self._guard = asyncio.create_task(self._keep_limits())

    async def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str = HOME,
        env: Mapping[str, str] | None = None,
        timeout: float,  # noqa: ASYNC109 - the box enforces it, not this task
        kill_stragglers: bool = False,
    ) -> ExecResult:
        """Run one program to its end; see `Sandbox.exec`."""
        self._require_open()
        self._execs += 1
        killed_before = self._cage.oom_kills()
        began = time.monotonic()
        request = self._exec_call(argv, cwd, env, stragglers=kill_stragglers)
        if _size(request) > MAX_PAYLOAD:
            return _not_started(b"the arguments and the environment are too long\n")
        try:
            call = await self._channel.start(request, output_limit=self._limits.exec_output_bytes, data=stdin)
            late = not await self._answered(call, timeout)
            found = call.reply.result()
        except SandboxLost as lost:
            raise self._why(lost) from None
        if "refused" in found:
            return _not_started(b"cannot start the program: no process or descriptor is left\n")
        output = call.output
        return self._result(
            found,
            stdout=bytes(output[Kind.DATA]),
            stderr=bytes(output[Kind.ERRORS]),
            reason="timeout" if late else "oom" if self._cage.oom_kills() > killed_before else None,
            wall=time.monotonic() - began,
        )

    async def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Write a regular file; see `Sandbox.write`."""
        self._require_open()
        await self._file({"op": "write", "path": path, "mode": mode & 0o700}, data=data)

    async def read(self, path: str, *, max_bytes: int) -> bytes:
        """Return the bytes of a regular file; see `Sandbox.read`."""
        self._require_open()
        limit = min(max_bytes, self._limits.read_bytes)
        return await self._file({"op": "read", "path": path, "limit": limit}, output_limit=limit)

    async def close(self) -> Usage:
        """End everything in the box; returns after its last process is gone."""
        async with self._closing:
            if self._usage is None:
                cpu_s, peak_mb = self._cage.usage()
                wall = time.monotonic() - self._started
                if self._guard is not None:
                    self._guard.cancel()
                await self._channel.close()
                await self._cage.destroy()
                counted = (self._execs, self._channel.received, self._channel.opened)
                self._usage = Usage(wall, cpu_s, peak_mb, *counted)
        return self._usage

    def _exec_call(
        self, argv: Sequence[str], cwd: str, env: Mapping[str, str] | None, *, stragglers: bool
    ) -> dict[str, Any]:
        return {
            "op": "exec",
            "argv": list(argv),
            "cwd": cwd,
            "env": {**self._environment, **(env or {})},
            "output": self._limits.exec_output_bytes,
            "stragglers": stragglers,
        }

    async def _answered(self, call: Call, seconds: float) -> bool:
        """Wait for the end of a call; past its time have it ended, and say so."""
        try:
            done, _ = await asyncio.wait({call.reply}, timeout=seconds)
            if done:
                return True
            self._channel.stop(call)
            done, _ = await asyncio.wait({call.reply}, timeout=_GRACE_SECONDS)
            if not done:
                self._channel.break_off("unresponsive")
        except asyncio.CancelledError:
            self._channel.stop(call)
            raise
        return False

    def _result(
        self, found: Mapping[str, Any], *, stdout: bytes, stderr: bytes, reason: EndReason | None, wall: float
    ) -> ExecResult:
        told, rc, number = (found.get(name) for name in ("reason", "rc", "signal"))
        cpu_ms, peak_kb = found.get("cpu_ms"), found.get("peak_kb")
        sound = told in _REASONS and all(value is None or isinstance(value, int) for value in (rc, number))
        if not sound or not isinstance(cpu_ms, int) or not isinstance(peak_kb, int):
            self._channel.break_off("frames")
            raise SandboxLost("the sandbox broke its protocol", rule="frames")
        if reason is None or (reason == "oom" and told != "exited"):
            reason = told
        elif reason == "oom" and number is None and rc == 0:
            reason = "exited"  # a child of the program was ended, the program coped
        truncated = found.get("truncated") is True
        return ExecResult(rc, number, stdout, stderr, reason or "exited", truncated, wall, cpu_ms / 1000, peak_kb >> 10)

    async def _file(self, request: Mapping[str, Any], *, output_limit: int = 0, data: bytes | None = None) -> bytes:
        if _size(request) > MAX_PAYLOAD:
            raise SandboxFileRefused("the path is too long", rule="missing")
        try:
            found, output = await self._channel.call(request, output_limit=output_limit, data=data)
        except SandboxLost as lost:
            raise self._why(lost) from None
        if "refused" in found:
            rule = found["refused"] if found["refused"] in _SEEN_ANSWERS else "denied"
            raise SandboxFileRefused(f"the file cannot be used: {rule}", rule=rule)
        return output

    async def _keep_limits(self) -> None:
        # The clock is ours: one in the box would be the box's word.
        while not self._channel.ended.is_set():
            left = self._limits.wall_s - (time.monotonic() - self._started)
            spent, _ = self._cage.usage()
            if left <= 0:
                self._over = "wall_s"
            elif spent is not None and spent > self._limits.cpu_s:
                self._over = "cpu_s"
            if self._over is not None:
                self._channel.break_off("limit")
                await self._cage.destroy()
                return
            await asyncio.sleep(min(_LOOK_SECONDS, left))

    def _require_open(self) -> None:
        if self._over is not None:
            raise self._limit()

    def _why(self, lost: SandboxLost) -> SandboxLost | SandboxLimit:
        return lost if self._over is None else self._limit()

    def _limit(self) -> SandboxLimit:
        return SandboxLimit(f"the sandbox has used up its {self._over}", limit=str(self._over))


_REASONS = ("exited", "output_limit", "file_limit", "oom", "killed")


def _not_started(words: bytes) -> ExecResult:
    return ExecResult(126, None, b"", words, "exited", truncated=False, wall_s=0.0, cpu_s=None, peak_mb=None)


def _size(request: Mapping[str, Any]) -> int:
    return len(marshal.dumps(dict(request), MARSHAL))


def limits_of(limits: Limits) -> dict[str, int | str]:
    """Return the limits as plain JSON values without floats."""
    return {name: value if isinstance(value, int) else str(value) for name, value in vars(limits).items()}
