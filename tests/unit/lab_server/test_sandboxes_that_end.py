"""What one session may leave in the worker: nothing that is not ended, and no more than it may hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from attestations.documents.hooks import SandboxLimits
from attestations.documents.sandboxing import Action, Close, Failed, Open, SandboxRequest, SandboxResult, Start
from attestations.errors import SandboxUnavailable
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.sandbox.port import ExecResult, Report, Sandbox, Spec, StreamHandler, Tier, Usage
from lab_server.worker.sandboxes import Sandboxes, SandboxPolicy
from tests.support.sandbox_statements import MADE_UP


class SlowToEnd:
    """A sandbox whose programs write a megabyte each, and whose end takes a moment."""

    id, evidence = "slow", MADE_UP

    def __init__(self) -> None:
        self.ended = False

    async def exec(self, *_: Any, **__: Any) -> ExecResult:
        return ExecResult(0, None, b"x" * (1 << 20), b"", "exited", False, 0.0, 0.0, 0)

    async def close(self) -> Usage:
        await asyncio.sleep(0.05)
        self.ended = True
        return Usage(0.0, 0.0, 0, 0, 0, 0)


class Provider:
    name = "test"
    tier = Tier.PROCESS

    def __init__(self) -> None:
        self.made: list[SlowToEnd] = []
        self.failing: list[SandboxUnavailable] = []

    async def create(self, spec: Spec, model: StreamHandler | None) -> Sandbox:
        if self.failing:
            raise self.failing.pop()
        self.made.append(SlowToEnd())
        return self.made[-1]  # type: ignore[return-value]

    async def doctor(self) -> Report:
        return Report(self.name, self.tier, ())

    async def reap(self) -> tuple[str, ...]:
        return ()


def sandboxes(provider: Provider) -> Sandboxes:
    policy = SandboxPolicy(image="00" * 32, most=SandboxLimits(), sandboxes=1, idle_seconds=60)
    return Sandboxes(provider, policy)


async def ask(hook: Sandboxes, action: Action, *, session: str = "s", seconds: float = 20) -> Done | NotDone:
    place = HookPlace("aa" * 32, session, 0, "deployed", "00" * 32, 0, 0)
    async with asyncio.timeout(seconds):  # as the worker does
        return await hook.answer(SandboxRequest(action=action), place, deadline_seconds=seconds)


async def test_a_close_that_runs_out_of_time_still_ends_the_sandbox_and_frees_its_place_only_then() -> None:
    provider = Provider()
    hook = sandboxes(provider)
    await ask(hook, Open())
    with pytest.raises(TimeoutError):
        await ask(hook, Close(), seconds=0.01)
    full = await ask(hook, Open(), session="other")
    assert isinstance(full, NotDone)
    assert full.code == "TOO_MANY_SANDBOXES"
    await hook.close()
    assert [made.ended for made in provider.made] == [True]
    assert isinstance(await ask(hook, Open(), session="other"), Done)
    await hook.close()


@pytest.mark.parametrize(
    ("failures", "missing", "comes_up"), [(1, "start", True), (2, "start", False), (1, "network", False)]
)
async def test_a_sandbox_that_does_not_come_up_is_made_once_more(failures: int, missing: str, comes_up: bool) -> None:  # noqa: FBT001
    provider = Provider()
    provider.failing = [SandboxUnavailable("it did not come up", missing=missing)] * failures
    hook = sandboxes(provider)
    done = await ask(hook, Open())
    assert isinstance(done, Done) == comes_up
    assert comes_up or done == NotDone("REFUSED_POLICY", f"SANDBOX_UNAVAILABLE:{missing}")
    await hook.close()


async def test_output_that_nobody_fetches_is_bounded_over_all_programs_of_a_sandbox() -> None:
    hook = sandboxes(Provider())
    await ask(hook, Open())
    deeds = []
    for _ in range(64):
        done = await ask(hook, Start(argv=("x",)))
        assert isinstance(done, Done)
        assert isinstance(done.result, SandboxResult)
        deeds.append(done.result.result)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert deeds.index(Failed(code="UNFETCHED")) < 10
    assert deeds[-1] == Failed(code="UNFETCHED")
    await hook.close()
