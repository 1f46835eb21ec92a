"""A trainer, ours or another's, is held to what it planned; what is stated of its job never goes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from attestations.documents.base import encode
from attestations.documents.finetuning import (
    ENDED,
    Demonstration,
    FineTuneRequest,
    Recipe,
    StartTraining,
    TrainingStatement,
    WaitTraining,
)
from attestations.training_history import JobHistory
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob, training_failed
from lab_server.worker.derived import DerivedVariants, JobFolders
from lab_server.worker.finetuning import FineTuning
from lab_server.worker.training_run import Trainable

START = StartTraining(
    recipe=Recipe(), demonstrations=(Demonstration(prompt="p", completion="c"),), salt=encode(bytes(32))
)
MOST_TOKENS = 100
DIES = "dies"
ENDS = "ends"


class Scripted:
    """A trainer that says what a test has it say, one thing whenever it is told to go on; each run is one life."""

    def __init__(self, *lives: Sequence[Event | str]) -> None:
        self._lives = list(lives)
        self.go_on: asyncio.Queue[None] = asyncio.Queue()

    async def identify(self) -> str:
        return "scripted/1"

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        for said in self._lives.pop(0):
            await self.go_on.get()
            if said == DIES:
                raise training_failed("TRAINER_DIED", "it died")
            adapter = job.folder / "adapter.json"
            adapter.write_text("{}")
            yield Trained(adapter) if isinstance(said, str) else said


def hook(trainer: Scripted, root: Path) -> FineTuning:
    async def adapt(base: str, adapter: Path) -> object:
        raise AssertionError(base, adapter)

    folders = JobFolders(root)
    derived = DerivedVariants(folders, adapt)  # type: ignore[arg-type]
    return FineTuning(
        trainer=trainer, models={"deployed": Trainable(root, "11" * 32)}, folders=folders, derived=derived
    )


async def ask(tuning: FineTuning, action: StartTraining | WaitTraining) -> Done | NotDone:
    place = HookPlace("aa" * 32, "s", 0, "deployed", "ab" * 32, 7, MOST_TOKENS)
    async with asyncio.timeout(5):
        return await tuning.answer(FineTuneRequest(action=action), place, deadline_seconds=5)


async def told_of(*lives: Sequence[Event | str], root: Path) -> list[TrainingStatement]:
    """Return what is stated of a job after everything its trainer says, asked between any two things."""
    trainer = Scripted(*lives)
    tuning = hook(trainer, root / "fine-tuning")
    trainer.go_on.put_nowait(None)
    started = await ask(tuning, START)
    assert isinstance(started.statement, TrainingStatement), started
    found = [started.statement]
    while found[-1].state not in ENDED:
        assert len(found) < 1000
        trainer.go_on.put_nowait(None)
        for _ in range(10):
            await asyncio.sleep(0)
            again = (await ask(tuning, WaitTraining(job=found[0].job))).statement
            assert isinstance(again, TrainingStatement)
            found.append(again)
    await tuning.close()
    return found


async def test_nothing_that_is_stated_goes_back_when_a_trainer_dies_and_begins_again(tmp_path: Path) -> None:
    first: list[Event | str] = [
        Planned(4, 60, 0),
        Progress(1, 15, 3.0),
        Progress(2, 30, 2.0),
        Progress(3, 45, 1.5),
        DIES,
    ]
    second: list[Event | str] = [Planned(4, 60, 1), Progress(2, 30, 2.0), DIES]
    third: list[Event | str] = [
        Planned(4, 60, 1),
        Progress(2, 30, 2.0),
        Progress(3, 45, 1.5),
        Progress(4, 60, 1.0),
        ENDS,
    ]
    told = await told_of(first, second, third, root=tmp_path)
    history = JobHistory(told[0], started=0)
    for place, statement in enumerate(told):
        assert history.fits(statement, promised=2 * place, recorded=2 * place + 1), statement
        history.take(statement, promised=2 * place, recorded=2 * place + 1)
    assert (told[-1].state, told[-1].resumed, told[-1].tokens) == ("SUCCEEDED", 2, "60")
    assert next(said.steps for said in told if said.resumed == 1) == 1


@pytest.mark.parametrize(
    ("lives", "steps"),
    [
        ([[Planned(2, 30, 0), Progress(1, 15, 1.0), Progress(1, 15, 1.0)]], 1),
        ([[Planned(2, 30, 0), Progress(2, 30, 1.0)]], 0),
        ([[Planned(2, 30, 0), Progress(1, 31, 1.0)]], 0),
        ([[Planned(2, 30, 0), Progress(1, 20, 1.0), Progress(2, 10, 1.0)]], 1),
        ([[Planned(1, 30, 0), Progress(1, 30, 1.0), Progress(2, 30, 1.0)]], 1),
        ([[Planned(2, 30, 0), Progress(1, 15, 1.0), ENDS]], 1),
        ([[Planned(1, 30, 0), Progress(1, 29, 1.0), ENDS]], 1),
        ([[Planned(2, 30, 0), ENDS]], 0),
        ([[Planned(2, 30, 0), Planned(2, 31, 0)]], 0),
        ([[Planned(2, 30, 0), Progress(1, 15, 1.0), DIES], [Planned(3, 30, 1)]], 1),
        ([[Planned(2, 30, 0), Progress(1, 15, 1.0), DIES], [Planned(2, 30, 2)]], 1),
    ],
)
async def test_a_trainer_that_departs_from_its_plan_fails_its_job(
    lives: Sequence[Sequence[Event | str]], steps: int, tmp_path: Path
) -> None:
    ended = (await told_of(*lives, root=tmp_path))[-1]
    assert (ended.state, ended.code, ended.steps, ended.adapter) == ("FAILED", "PLAN_BROKEN", steps, None)


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (Planned(2, MOST_TOKENS + 1, 0), "TOO_MANY_TOKENS"),
        (Planned(0, 30, 0), "PLAN_BROKEN"),
        (Planned(2, 0, 0), "PLAN_BROKEN"),
        (Planned(2, 30, 1), "PLAN_BROKEN"),
    ],
)
async def test_a_plan_that_cannot_be_is_no_job_and_costs_nothing(plan: Planned, code: str, tmp_path: Path) -> None:
    trainer = Scripted([plan])
    tuning = hook(trainer, tmp_path / "fine-tuning")
    trainer.go_on.put_nowait(None)
    assert await ask(tuning, START) == NotDone("ERROR", code)
    assert list((tmp_path / "fine-tuning").glob("*/*")) == []
    await tuning.close()
