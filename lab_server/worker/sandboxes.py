"""The scaffold hook: a sandbox belongs to one session of one agreement, and nothing of it outlives either."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from attestations.documents.asking import AnyRequest
from attestations.documents.hooks import SandboxLimits, SandboxState, SandboxStatement
from attestations.documents.sandboxing import (
    Close,
    Closed,
    Deed,
    Exec,
    Failed,
    Open,
    Opened,
    Read,
    SandboxRequest,
    SandboxResult,
    Start,
    Wait,
    Write,
)
from attestations.errors import SandboxLimit, SandboxLost, SandboxUnavailable
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.sandbox.port import Evidence, Limits, Provider, Sandbox, Spec, StreamHandler, Tier
from lab_server.worker.scaffold_box import Bounds, ScaffoldBox

_MARGIN_SECONDS = 1.0  # an answer must still be sealed and recorded before the exchange's deadline
_UNNAMED = re.compile(r"[^A-Za-z0-9._:/@+-]")
_LOOK_SECONDS = 1.0
# What an unmodified program finds: the `openai` package reads these; the key is of no use anywhere.
_FOUND = {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1", "OPENAI_API_KEY": "none"}


@dataclass(frozen=True)
class SandboxPolicy:
    """What the lab allows: the most one sandbox may use, how many there may be, and how long one may idle."""

    image: str
    most: SandboxLimits
    sandboxes: int
    idle_seconds: float
    degraded: bool = False


@dataclass
class _Held:
    box: ScaffoldBox
    limits: SandboxLimits
    evidence: Evidence
    name: str
    used_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sandboxes:
    """A `HookHandler` over one provider."""

    def __init__(self, provider: Provider, policy: SandboxPolicy) -> None:
        self._provider = provider
        self._policy = policy
        self._held: dict[tuple[str, str], _Held] = {}
        self._opening = 0
        self._watch: asyncio.Task[None] | None = None

    async def answer(self, request: AnyRequest, place: HookPlace, *, deadline_seconds: float) -> Done | NotDone:
        """Do what is asked of the session's sandbox."""
        assert isinstance(request, SandboxRequest)  # noqa: S101 - the caller goes by its operation
        action, key = request.action, (place.agreement, place.session)
        if isinstance(action, Open):
            return await self._open(action, place)
        held = self._held.get(key)
        if held is None:
            return NotDone("ERROR", "NO_SANDBOX")
        most = max(0.1, deadline_seconds - _MARGIN_SECONDS)
        loop = asyncio.get_running_loop()
        async with held.lock:
            held.used_at = float("inf")  # in use, and not idle
            try:
                if isinstance(action, Close):
                    await self._close(key, "CLOSED")
                    return Done(SandboxResult(result=Closed()), _statement(held, "CLOSED"))
                deed = await _do(held.box, action, most)
            except (SandboxLost, SandboxLimit) as error:
                await held.box.end(error.reason)
                return NotDone("ERROR", held.box.lost or error.reason, _statement(held, "LOST"))
            finally:
                held.used_at = loop.time()
        return Done(SandboxResult(result=deed), _statement(held, "OPEN" if held.box.lost is None else "LOST"))

    async def forget(self, agreement: str) -> None:
        """End every sandbox of one agreement."""
        keys = [key for key in self._held if key[0] == agreement]
        ended = await asyncio.gather(*(self._close(key, "FORGOTTEN") for key in keys), return_exceptions=True)
        for error in ended:
            if error is not None:  # the others are gone all the same
                raise error

    async def close(self) -> None:
        """End every sandbox."""
        if self._watch is not None:
            self._watch.cancel()
        for key in list(self._held):
            with suppress(Exception):  # the others must go, too
                await self._close(key, "WORKER_ENDED")

    async def _made(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        """Make a sandbox; one that does not come up on a busy machine is made once more, every wall as before."""
        try:
            return await self._provider.create(spec, model)
        except SandboxUnavailable as error:
            if error.facts.get("missing") != "start":
                raise
        return await self._provider.create(spec, model)

    async def _open(self, action: Open, place: HookPlace) -> Done | NotDone:
        key = (place.agreement, place.session)
        before = self._held.get(key)
        if before is not None and before.box.lost is None:
            return Done(SandboxResult(result=Failed(code="BUSY")), _statement(before, "OPEN"))
        if before is not None:
            await self._close(key, "CLOSED")  # it may be ending still
        alive = sum(not held.box.gone for held in self._held.values())
        if alive + self._opening >= self._policy.sandboxes:
            return NotDone("REFUSED_POLICY", "TOO_MANY_SANDBOXES")
        limits = _least(action.limits, self._policy.most)
        bounds = Bounds(limits.model_calls, limits.model_body_bytes, self._policy.idle_seconds)
        box = ScaffoldBox(variant=place.variant, bounds=bounds)
        given = {item.name: item.value for item in action.env}
        spec = Spec(
            image=self._policy.image,
            env=({**_FOUND, "OPENAI_MODEL": place.variant} if action.model else {}) | given,
            limits=_for_box(limits),
            min_tier=Tier(action.tier),
        )
        self._opening += 1
        try:
            sandbox = await self._made(spec, box.calls.serve if action.model else None)
        except SandboxUnavailable as error:
            missing = _UNNAMED.sub("-", error.facts.get("missing", ""))[:100]
            return NotDone("REFUSED_POLICY", f"SANDBOX_UNAVAILABLE{':' if missing else ''}{missing}")
        finally:
            self._opening -= 1
        box.sandbox = sandbox
        held = _Held(box, limits, sandbox.evidence, f"b-{place.seq}", asyncio.get_running_loop().time())
        if sandbox.evidence.degraded and not self._policy.degraded:
            await box.end("DEGRADED")
            return NotDone("REFUSED_POLICY", "SANDBOX_DEGRADED", _statement(held, "CLOSED"))
        self._held[key] = held
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._end_idle())
        return Done(SandboxResult(result=Opened(sandbox=held.name, limits=limits)), _statement(held, "OPEN"))

    async def _close(self, key: tuple[str, str], code: str) -> None:
        held = self._held.get(key)
        if held is not None:
            await held.box.end(code)
            if self._held.get(key) is held:  # only now: one that is still ending is not forgotten
                del self._held[key]

    async def _end_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while self._held:
            await asyncio.sleep(min(_LOOK_SECONDS, self._policy.idle_seconds))
            for held in list(self._held.values()):
                if held.box.lost is None and loop.time() - held.used_at > self._policy.idle_seconds:
                    await held.box.end("IDLE")


async def _do(box: ScaffoldBox, action: Exec | Write | Read | Start | Wait, most: float) -> Deed:
    match action:
        case Exec():
            return await box.exec(action, most_seconds=most)
        case Write():
            return await box.write(action)
        case Read():
            return await box.read(action)
        case Start():
            return box.start(action)
        case Wait():
            return await box.wait(action, most_seconds=most)


def _least(asked: SandboxLimits, most: SandboxLimits) -> SandboxLimits:
    least: dict[str, Any] = {}
    for name in SandboxLimits.model_fields:
        ours, theirs = getattr(most, name), getattr(asked, name)
        least[name] = min(ours, theirs, key=float)
    return SandboxLimits(**least)


def _for_box(limits: SandboxLimits) -> Limits:
    return Limits(
        wall_s=float(limits.wall_seconds),
        cpu_s=limits.cpu_seconds,
        cpu_cores=float(limits.cpu_cores),
        memory_mb=limits.memory_mb,
        pids=limits.processes,
        disk_mb=limits.disk_mb,
        files=limits.files,
        exec_output_bytes=limits.output_bytes,
        model_streams=limits.model_streams,
    )


def _statement(held: _Held, state: SandboxState) -> SandboxStatement:
    evidence = held.evidence
    return SandboxStatement(
        sandbox=held.name,
        state=state,
        tier=evidence.tier.value,
        provider=_UNNAMED.sub("-", evidence.provider)[:128],
        version=_version(evidence.versions),
        image=evidence.image,
        policy=evidence.policy_digest,
        self_test=evidence.self_test_digest,
        limits=held.limits,
        degraded=tuple(evidence.degraded),
        model_calls=held.box.calls.made,
    )


def _version(versions: Mapping[str, str]) -> str:
    text = ":".join(f"{name}@{version}" for name, version in sorted(versions.items()))
    return _UNNAMED.sub("-", text)[:128].lstrip("._:/@+-") or "unknown"
