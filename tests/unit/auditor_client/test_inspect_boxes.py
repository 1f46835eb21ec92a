"""The boxes of samples: who gets one, what a command's end means to Inspect, and what ends a run."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("inspect_ai", reason="needs safeconduct[inspect]")

from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.util import OutputLimitExceededError, SandboxUserUnsupportedError
from inspect_ai.util._sandbox.environment import SandboxUnavailableError

from attestations.documents.exchange import Record
from attestations.documents.sandboxing import Close, Closed, Deed, Exec, Executed, Open, Opened, SandboxResult
from attestations.errors import ConfigurationInvalid, ScopeExceeded
from auditor_client.asked import Answered
from auditor_client.integrations.inspect import box_programs, folders
from auditor_client.integrations.inspect.boxes import LIMITS, Boxes
from auditor_client.integrations.inspect.sandbox import SafeconductSandbox
from auditor_client.integrations.open_folder import OpenFolder
from auditor_client.intending import Question
from tests.support.sandbox_statements import sandbox_statement
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_inspect_provider import MODEL, OneFolder, folder
from tests.unit.auditor_client.test_questioning import question, questioner

__all__ = ["folder"]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Inspect's own


class Lab:
    """Stands for questioner and lab: gives boxes, and ends each command as `ends` says."""

    purpose = "inspect"

    def __init__(self, *, lanes: int = 4, ends: Sequence[Executed | str] = ()) -> None:
        self.lanes, self.reserved, self.kept = lanes, 0, ("left",)
        self.ends, self.lines, self.open = list(ends), 0, 0
        self.journal = self
        self.noted: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    def own_line(self) -> int:
        self.lines += 1
        return self.lines

    async def remember(self, name: str, value: bytes) -> None:
        self.noted.append(f"{name} {value.decode()}")

    async def ask(self, question: Question, *, line: int, **_: object) -> Answered:
        action = cast("Any", question.request).action
        deed: Deed | None = None
        told: dict[str, Any] = {"status": "COMPLETED", "code": None, "hook": sandbox_statement(limits=LIMITS)}
        match action:
            case Open():
                self.open += 1
                await self.hold.wait()
                deed = Opened(sandbox="b-0", limits=LIMITS)
            case Close():
                self.open -= 1
                deed = Closed()
            case _:
                assert isinstance(action, Exec)
                end = self.ends.pop(0)
                told |= {"status": end, "code": "IDLE"} if isinstance(end, str) else {}
                deed = None if isinstance(end, str) else end
        answer = None if deed is None else SandboxResult(result=deed)
        return Answered(question, f"s-{line}", 0, cast("Any", None), Record.model_construct(None, **told), answer)


def boxes_at(lab: Lab) -> Boxes:
    return Boxes(OpenFolder(cast("Any", None), "00" * 32, cast("Any", lab)))


async def sandbox_at(lab: Lab) -> SafeconductSandbox:
    boxes = boxes_at(lab)
    return SafeconductSandbox(boxes, await boxes.open(variant="deployed", tier="process"), most_seconds=30)


def ended(code: int | None = 0, **more: Any) -> Executed:
    texts = {name: base64.b64encode(more.pop(name, b"")).decode() for name in ("stdout", "stderr")}
    return Executed(exit_code=code, wall_ms=1, **{"reason": "exited", **texts, **more})


async def test_a_box_more_than_half_the_lanes_waits_and_takes_the_session_of_one_that_ended() -> None:
    lab = Lab(lanes=4)
    boxes = boxes_at(lab)
    first, second = [await boxes.open(variant="deployed", tier="process") for _ in range(2)]
    third = asyncio.create_task(boxes.open(variant="deployed", tier="process"))
    await asyncio.sleep(0)
    assert (lab.open, lab.reserved) == (2, 2)
    await boxes.close(first)
    await boxes.close(first)
    assert (await third).line == first.line
    assert lab.noted[-1] == 'inspect/sandboxes ["s-1", "s-2"]'
    await boxes.close_all()
    assert (lab.open, lab.lines, lab.noted[-1]) == (0, 2, "inspect/sandboxes []")
    assert second.line != first.line


async def test_a_sample_that_is_cancelled_while_its_box_is_made_leaves_none() -> None:
    lab = Lab()
    lab.hold.clear()
    boxes = boxes_at(lab)
    opening = asyncio.create_task(boxes.open(variant="deployed", tier="process"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert lab.open == 0


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (ended(None, reason="timeout", signal=9), TimeoutError),
        (ended(0, truncated=True, stdout=b"much"), OutputLimitExceededError),
        (ended(126, stderr=b"cannot start the program: Permission denied\n"), PermissionError),
        ("ERROR", SandboxUnavailableError),
        ("TIMEOUT", TimeoutError),
    ],
)
async def test_how_a_command_ends_is_told_in_inspects_errors(end: Executed | str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await (await sandbox_at(Lab(ends=[end]))).exec(["program"])


async def test_a_command_ended_by_a_signal_or_a_limit_is_a_failure_with_its_reason() -> None:
    env = await sandbox_at(Lab(ends=[ended(None, signal=15), ended(None, signal=9, reason="oom"), ended(3)]))
    assert [(await env.exec(["program"])).returncode for _ in range(1)] == [143]
    starved = await env.exec(["program"])
    assert (starved.success, starved.returncode, starved.stderr) == (False, 137, "the program was ended: oom\n")
    assert (await env.exec(["program"])).returncode == 3


async def test_a_file_error_is_that_of_the_boxs_own_system() -> None:
    for number, error in ((2, FileNotFoundError), (13, PermissionError), (21, IsADirectoryError), (28, OSError)):
        env = await sandbox_at(Lab(ends=[ended(1, stderr=f"{number}\n".encode())] * 2))
        with pytest.raises(error, match="a name"):
            await env.read_file("a name")
        with pytest.raises(error, match="a name"):
            await env.write_file("a name", "text")


@pytest.mark.parametrize("name", ["", "a\0b", "a\ud800b", "x" * 5000])
async def test_a_name_no_file_can_have_is_an_error_of_files_before_anything_is_asked(name: str) -> None:
    env = await sandbox_at(Lab())
    for asked in (env.read_file(name), env.write_file(name, "text")):
        with pytest.raises(OSError, match="Invalid argument"):
            await asked


@pytest.mark.parametrize(("cmd", "seconds"), [([], None), (["true"], 0), (["true"], -1)])
async def test_no_command_and_no_time_are_refused_before_anything_is_asked(cmd: list[str], seconds: int | None) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await (await sandbox_at(Lab())).exec(cmd, timeout=seconds)


async def test_another_user_is_refused_before_anything_is_asked() -> None:
    lab = Lab(ends=[ended()])
    env = await sandbox_at(lab)
    for user in ("root", "0", "nobody"):
        with pytest.raises(SandboxUserUnsupportedError):
            await env.exec(["true"], user=user)
    assert len(lab.ends) == 1
    assert (await env.exec(["true"], user="box")).success


def test_a_command_goes_as_it_is_unless_a_box_cannot_be_told_so() -> None:
    def sent(cmd: list[str], **more: Any) -> box_programs.Start:
        return box_programs.start(cmd, **{"stdin": b"", "cwd": None, "env": {}, "staging": "/tmp/s", **more})

    assert sent(["bash", "-c", "true"], stdin=b"x").argv == ("bash", "-c", "true")
    for start in (sent(["true"], cwd="/tmp"), sent(["true"], env={"A": "b"}), sent(["a\0b"]), sent(["\udcff"])):
        assert (start.argv[0], start.argv[5], start.staged) == ("python3", "here", None)
    for start in (sent(["true"], stdin=bytes(1 << 18)), sent(["x" * 20_000])):
        assert (start.argv[5:], start.stdin) == (("staged", "/tmp/s"), b"")
        assert start.staged is not None


async def test_a_spent_budget_ends_the_run_at_once(
    audit: Audit, folder: OneFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "BOXES", folders.OpenBoxes())
    monkeypatch.setattr("auditor_client.integrations.inspect.sandbox.BOXES", folders.BOXES)
    audit.lab.misbehave("refuse", at=1)
    task = Task([Sample(input="canary-text"), Sample(input="another")], sandbox="safeconduct")
    [log] = await eval_async(task, model=MODEL, max_samples=1, log_dir=str(tmp_path), log_samples=False)
    assert log.status == "error"
    assert log.error is not None
    assert "BUDGET_EXHAUSTED" in log.error.message
    assert "canary-text" not in log.error.message
    assert len(audit.lab.calls) == 0


async def test_a_tier_that_is_none_is_refused(folder: OneFolder) -> None:
    with pytest.raises(ConfigurationInvalid):
        await SafeconductSandbox.sample_init("task", "none", {})


async def test_own_lines_are_sessions_of_their_own_and_leave_one_to_everything_else(audit: Audit) -> None:
    most = audit.world.engagement().agreement.scope.max_sessions
    async with questioner(audit, lanes=most) as ask:
        lines = [ask.own_line() for _ in range(most - 1)]
        with pytest.raises(ScopeExceeded):
            ask.own_line()
        told = await asyncio.gather(*(ask.ask(question("q"), line=line) for line in lines), ask.ask(question("q")))
    assert len({answered.session for answered in told}) == most


async def test_lanes_that_are_reserved_are_left_to_own_lines(audit: Audit) -> None:
    most = audit.world.engagement().agreement.scope.max_sessions
    async with questioner(audit, lanes=most) as ask:
        ask.reserved = most - 1
        await asyncio.gather(*(ask.ask(question(f"q{number}")) for number in range(9)))
        assert len(audit.lab.opened) == 1
        ask.own_line()


async def test_sessions_that_are_kept_are_the_first_own_lines(audit: Audit) -> None:
    async with questioner(audit, lanes=2) as ask:
        first, second = [await ask.ask(question("q"), line=ask.own_line()) for _ in range(2)]
    async with questioner(audit, lanes=2) as again:
        again.kept = (second.session,)
        told = await again.ask(question("q"), line=again.own_line())
    assert told.session == second.session != first.session


async def test_what_a_killed_run_left_is_ended_in_its_session() -> None:
    lab = Lab()
    lab.open = 1
    assert await boxes_at(lab).close_kept(variant="deployed") == 1
    assert (lab.open, lab.noted) == (0, ["inspect/sandboxes []"])
