"""The scaffold hook over real sandboxes: one a session, all its limits the lab's, and nothing that stays."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from attestations.documents.base import decode, encode
from attestations.documents.dialogue import ChatResult
from attestations.documents.finetuning import TrainingStatement
from attestations.documents.hooks import SandboxLimits, SandboxStatement
from attestations.documents.sandboxing import (
    MAX_PART_BYTES,
    Action,
    CallAnswer,
    Close,
    Event,
    Exec,
    Executed,
    Exited,
    Failed,
    Gone,
    Lost,
    ModelCall,
    Open,
    Opened,
    Output,
    Read,
    SandboxRequest,
    SandboxResult,
    Start,
    Wait,
    Write,
)
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.hook_settings import HooksSettings, SandboxHookSettings
from lab_server.worker.hooking import make_hooks
from lab_server.worker.sandboxes import Sandboxes
from tests.support.scaffold_audit import AGENT

SMALL = SandboxLimits(wall_seconds=60, memory_mb=256, disk_mb=16, model_calls=3)


class Session:
    """Asks the hook as one session does."""

    def __init__(self, hook: Sandboxes, name: str = "lane-1", agreement: str = "aa" * 32) -> None:
        self.hook, self.name, self.agreement, self.seq = hook, name, agreement, 0
        self.statement: SandboxStatement | None = None

    async def asked(self, action: Action, *, seconds: float = 20) -> Done | NotDone:
        place = HookPlace(self.agreement, self.name, self.seq, "rehearsed", "00" * 32, 0, 1000)
        self.seq += 1
        done = await self.hook.answer(SandboxRequest(action=action), place, deadline_seconds=seconds)
        assert not isinstance(done.statement, TrainingStatement)
        self.statement = done.statement
        return done

    async def ask(self, action: Action, *, seconds: float = 20) -> Any:
        done = await self.asked(action, seconds=seconds)
        assert isinstance(done, Done), done
        assert isinstance(done.result, SandboxResult)
        return done.result.result

    async def run(self, text: str) -> str:
        executed = await self.ask(Exec(argv=("python3", "-c", text)))
        assert isinstance(executed, Executed)
        return decode(executed.stdout).decode()


async def made(**settings: Any) -> Sandboxes:
    chosen = SandboxHookSettings(state="on", degraded=True, **settings)
    hooks = await make_hooks(HooksSettings(sandbox=chosen))
    if "sandbox" in hooks.declined:
        pytest.skip(hooks.declined["sandbox"])
    hook = hooks.handlers["sandbox"]
    assert isinstance(hook, Sandboxes)
    return hook


@pytest.fixture
async def hook() -> AsyncIterator[Sandboxes]:
    hook = await made(sandboxes=2, memory_mb=128, idle_seconds=30)
    yield hook
    await hook.close()
    assert sandboxes_left() == []


def sandboxes_left() -> list[int]:
    """The processes of this one that are sandboxes."""
    return [p.pid for p in psutil.Process().children(recursive=True) if p.is_running() and "bwrap" in p.name()]


async def test_a_sandbox_takes_the_least_of_what_is_asked_and_allowed_and_states_it(hook: Sandboxes) -> None:
    one = Session(hook)
    opened = await one.ask(Open(limits=SMALL))
    assert isinstance(opened, Opened)
    assert (opened.limits.memory_mb, opened.limits.disk_mb, opened.limits.model_calls) == (128, 16, 3)
    stated = one.statement
    assert stated is not None
    assert (stated.state, stated.tier, stated.provider) == ("OPEN", "process", "bubblewrap")
    assert stated.limits == opened.limits
    assert isinstance(await one.ask(Open()), Failed)  # BUSY: one a session
    await one.ask(Close())
    assert one.statement is not None
    assert one.statement.state == "CLOSED"
    assert sandboxes_left() == []


async def test_sessions_and_agreements_share_nothing(hook: Sandboxes) -> None:
    one, two, third = Session(hook), Session(hook, agreement="bb" * 32), Session(hook, "lane-3")
    await one.ask(Open(limits=SMALL))
    await two.ask(Open(limits=SMALL))
    full = await third.asked(Open(limits=SMALL))
    assert isinstance(full, NotDone)
    assert (full.status, full.code) == ("REFUSED_POLICY", "TOO_MANY_SANDBOXES")
    await one.ask(Write(path="secret.txt", data=encode(b"canary-of-one")))
    assert "secret.txt" in await one.run("import os; print(os.listdir('.'))")
    assert "secret.txt" not in await two.run("import os; print(os.listdir('.'))")
    assert isinstance(await third.asked(Read(path="secret.txt")), NotDone)
    await hook.forget(one.agreement)
    assert isinstance(await one.asked(Read(path="secret.txt")), NotDone)
    await two.ask(Close())


async def test_files_come_and_go_in_parts(hook: Sandboxes) -> None:
    one, data = Session(hook), os.urandom(MAX_PART_BYTES + 1000)
    await one.ask(Open(limits=SMALL))
    await one.ask(Write(path="d/f.bin", data=encode(data[:MAX_PART_BYTES]), more=True))
    assert (await one.ask(Read(path="d/f.bin"))).code == "FILE_MISSING"
    await one.ask(Write(path="d/f.bin", data=encode(data[MAX_PART_BYTES:])))
    first = await one.ask(Read(path="d/f.bin"))
    second = await one.ask(Read(path="d/f.bin", offset=MAX_PART_BYTES))
    assert (decode(first.data) + decode(second.data), first.end, second.end) == (data, False, True)
    assert (await one.ask(Read(path="d"))).code == "FILE_KIND"


async def events(one: Session, after: int = 0, replies: tuple[Any, ...] = (), seconds: int = 10) -> list[Event]:
    return list((await one.ask(Wait(after=after, seconds=seconds, replies=replies))).events)


async def test_events_stay_until_they_are_acknowledged_and_replies_reach_their_call(hook: Sandboxes) -> None:
    one = Session(hook)
    await one.ask(Open(limits=SMALL))
    await one.ask(Write(path="main.py", data=encode(AGENT.encode())))
    await one.ask(Start(argv=("python3", "main.py"), timeout_seconds=30))
    assert isinstance(await one.ask(Start(argv=("true",))), Failed)  # BUSY: one entry point at a time
    first = await events(one)
    assert first == await events(one, seconds=0)  # as after an exchange that failed on its way
    after, out = 0, b""
    while not any(isinstance(event, Exited) for event in first):
        after += len(first)
        replies = [reply(event.call) for event in first if isinstance(event, ModelCall)]
        first = await events(one, after, tuple(replies))
        out += b"".join(decode(event.data) for event in first if isinstance(event, Output))
    assert out.split() == [b"0", b"fine", b"1", b"fine", b"2", b"fine"]
    assert one.statement is not None
    assert one.statement.model_calls == 3


def reply(call: int) -> CallAnswer:
    return CallAnswer(
        call=call, result=ChatResult(content="fine"), finish_reason="stop", prompt_tokens=1, completion_tokens=1
    )


async def test_calls_beyond_the_limit_are_refused_inside_and_are_no_events(hook: Sandboxes) -> None:
    one = Session(hook)
    await one.ask(Open(limits=SandboxLimits(model_calls=0)))
    await one.ask(Write(path="main.py", data=encode(AGENT.encode())))
    executed = await one.ask(Exec(argv=("python3", "main.py")))
    assert b"429" in decode(executed.stderr)
    assert await events(one, seconds=0) == []


async def test_a_program_that_ends_takes_its_calls_back(hook: Sandboxes) -> None:
    one = Session(hook)
    await one.ask(Open(limits=SMALL))
    await one.ask(Write(path="main.py", data=encode(AGENT.encode())))
    executed = await one.ask(Exec(argv=("python3", "main.py"), timeout_seconds=1))
    assert executed.reason == "timeout"
    kinds = [type(event) for event in await events(one)]
    if kinds == [ModelCall]:
        kinds += [type(event) for event in await events(one, after=1)]
    assert kinds == [ModelCall, Gone]


async def test_a_sandbox_that_dies_is_lost_on_record_and_never_made_again_by_itself(hook: Sandboxes) -> None:
    one = Session(hook)
    await one.ask(Open(limits=SMALL))
    await one.ask(Start(argv=("sleep", "60"), timeout_seconds=60))
    waiting = asyncio.create_task(one.ask(Wait(seconds=10)))
    await asyncio.sleep(0.1)
    for pid in sandboxes_left():
        os.kill(pid, signal.SIGKILL)
    last = (await waiting).events[-1]
    assert isinstance(last, Lost)
    gone = await one.asked(Exec(argv=("true",)))
    assert isinstance(gone, NotDone)
    assert (gone.status, gone.code) == ("ERROR", "SANDBOX_LOST")
    assert gone.statement is not None
    assert gone.statement.state == "LOST"
    assert isinstance(await one.ask(Open(limits=SMALL)), Opened)  # when asked, and as another one


async def test_an_idle_sandbox_is_ended() -> None:
    hook = await made(idle_seconds=1)
    one = Session(hook)
    await one.ask(Open(limits=SMALL))
    await asyncio.sleep(2.5)
    assert sandboxes_left() == []
    ended = await one.asked(Exec(argv=("true",)))
    assert isinstance(ended, NotDone)
    assert ended.code == "IDLE"
    await hook.close()


async def test_a_request_cut_short_leaves_the_sandbox_usable(hook: Sandboxes) -> None:
    one = Session(hook)
    await one.ask(Open(limits=SMALL))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await one.ask(Exec(argv=("sleep", "30"), timeout_seconds=60))
    assert await one.run("print('still here')") == "still here\n"
