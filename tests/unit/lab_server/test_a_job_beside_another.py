"""A fine-tune job under way is not disturbed by what other sessions ask meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from attestations.documents.base import encode, validated
from attestations.documents.finetuning import (
    Demonstration,
    FineTuneRequest,
    Recipe,
    StartTraining,
    TrainingStatement,
    WaitTraining,
)
from lab_server.hook_port import Done, HookPlace, NotDone
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob
from lab_server.worker.derived import DerivedVariants, JobFolders
from lab_server.worker.finetuning import FineTuning
from lab_server.worker.training_run import Trainable

START = StartTraining(
    recipe=Recipe(), demonstrations=(Demonstration(prompt="p", completion="c"),), salt=encode(bytes(32))
)


class SlowToPlan:
    """A trainer that needs a moment before it knows what a job will cost, as one that loads a model does."""

    def __init__(self) -> None:
        self.planning, self.go_on = asyncio.Event(), asyncio.Event()

    async def identify(self) -> str:
        return "test/1"

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        self.planning.set()
        await self.go_on.wait()
        yield Planned(1, 5, 0)
        yield Progress(1, 5, 1.0)
        adapter = job.folder / "adapter.json"
        adapter.write_text("{}")
        yield Trained(adapter)


class WithoutItsFolder(SlowToPlan):
    """A trainer whose job's folder cannot be written to any more once it has planned."""

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        shutil.rmtree(job.folder)
        yield Planned(1, 5, 0)


class AtTheLastStep(SlowToPlan):
    """A trainer that makes its adapter, and what is written after that does not fit any more."""

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        yield Planned(1, 5, 0)
        yield Progress(1, 5, 1.0)
        adapter = job.folder / "adapter.json"
        adapter.write_text("{}")
        (job.folder / "job.part").mkdir()  # where the statement is written
        yield Trained(adapter)


def hook(trainer: SlowToPlan, root: Path) -> FineTuning:
    folders = JobFolders(root)
    models = {"deployed": Trainable(root, "11" * 32)}
    derived = DerivedVariants(folders, _adapt)
    return FineTuning(trainer=trainer, models=models, folders=folders, derived=derived)


async def _adapt(base: str, adapter: Path) -> Any:
    raise AssertionError(base, adapter)


async def ask(tuning: FineTuning, action: StartTraining | WaitTraining) -> Done | NotDone:
    place = HookPlace("aa" * 32, "s", 0, "deployed", "ab" * 32, 7, 100)
    async with asyncio.timeout(5):  # as the worker does
        return await tuning.answer(FineTuneRequest(action=action), place, deadline_seconds=5)


async def test_asking_about_other_jobs_leaves_alone_one_that_is_being_planned(tmp_path: Path) -> None:
    trainer = SlowToPlan()
    tuning = hook(trainer, tmp_path / "fine-tuning")
    starting = asyncio.create_task(ask(tuning, START))
    await trainer.planning.wait()
    assert isinstance(await ask(tuning, WaitTraining(job="ft-unknown")), NotDone)
    assert await tuning.served("aa" * 32, "deployed+ft-unknown") is None
    trainer.go_on.set()
    started = await starting
    assert isinstance(started, Done)
    assert isinstance(started.statement, TrainingStatement)
    ended = await ask(tuning, WaitTraining(job=started.statement.job, seconds=5))
    assert isinstance(ended.statement, TrainingStatement)
    assert ended.statement.state == "SUCCEEDED"
    await tuning.close()


async def test_a_job_whose_plan_the_disk_does_not_take_is_not_begun_and_blames_no_trainer(tmp_path: Path) -> None:
    tuning = hook(WithoutItsFolder(), tmp_path / "fine-tuning")
    async with asyncio.timeout(2):
        assert await ask(tuning, START) == NotDone("ERROR", "NO_ROOM")
    await tuning.close()


async def test_an_end_that_the_disk_does_not_take_is_told_once_it_does_and_never_changes(tmp_path: Path) -> None:
    tuning = hook(AtTheLastStep(), tmp_path / "fine-tuning")
    started = (await ask(tuning, START)).statement
    assert isinstance(started, TrainingStatement)
    wait = WaitTraining(job=started.job)
    await asyncio.sleep(0.01)
    before = (await ask(tuning, wait)).statement
    (in_the_way,) = (tmp_path / "fine-tuning").glob("*/*/job.part")
    in_the_way.rmdir()
    ended, again = (await ask(tuning, wait)).statement, (await ask(tuning, wait)).statement
    await tuning.close()
    rebooted = (await ask(hook(SlowToPlan(), tmp_path / "fine-tuning"), wait)).statement

    assert isinstance(before, TrainingStatement)
    assert isinstance(ended, TrainingStatement)
    assert (before.state, before.steps) == ("RUNNING", 1)
    assert (ended.state, ended.code, ended.steps) == ("FAILED", "NO_ROOM", 1)
    assert ended == again == rebooted
    validated(TrainingStatement, ended.json_value())


def test_what_a_crash_left_before_its_first_statement_is_removed_at_the_next_start(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "fine-tuning")
    left = folders.make("aa" * 32, "ft-left")
    (left / "checkpoint").write_bytes(b"1")
    hook(SlowToPlan(), tmp_path / "fine-tuning")
    assert not left.exists()
