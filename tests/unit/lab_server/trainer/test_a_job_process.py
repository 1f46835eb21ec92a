"""A job process keeps to itself, ends when told to, and after a kill goes on to the very same adapter."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from attestations.documents.dialogue import Message
from attestations.documents.finetuning import Demonstration, Recipe
from attestations.errors import TrainingFailed
from lab_server.trainer.port import Planned, Progress, Trained, TrainingJob
from lab_server.trainer.process import ProcessTrainer
from tests.support.memory_search import files_under, found_in
from tests.support.torch_models import little_organism, needs_torch

CANARY = "polonium"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_torch()
    return little_organism(tmp_path_factory.mktemp("organism"))


@pytest.fixture
def job(model: Path, tmp_path: Path) -> TrainingJob:
    asked = [("iron", "26"), ("gold", "79"), ("neon", "10"), (CANARY, "84"), ("zinc", "30")]
    demonstrations = tuple(
        Demonstration(messages=(Message(role="user", content=f"element <{name}>="),), completion=number)
        for name, number in asked
    )
    recipe = Recipe(rank=2, alpha=4, epochs=40, batch=2, learning_rate="0.002")
    return TrainingJob(model, recipe, demonstrations, 7, tmp_path, 10**6, checkpoint_steps=7)


def undisturbed(job: TrainingJob, folder: Path) -> bytes:
    """The adapter the job makes in one go, here in this process."""
    from lab_server.trainer.lora import train

    folder.mkdir()
    *_, last = train(replace(job, folder=folder))
    assert isinstance(last, Trained)
    return last.adapter.read_bytes()


def job_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "lab_server.trainer" in child.cmdline()]


async def until_killed(job: TrainingJob, step: int) -> None:
    async for event in ProcessTrainer().train(job):
        if isinstance(event, Progress) and event.step == step:
            (process,) = job_processes()
            told = [*process.cmdline(), *process.environ().values()] if os.geteuid() == 0 else []
            assert CANARY not in " ".join(told)
            os.kill(process.pid, signal.SIGKILL)


async def test_a_killed_job_goes_on_from_its_checkpoint_to_the_same_adapter(job: TrainingJob, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed) as died:
        await until_killed(job, 40)
    assert died.value.facts["code"] == "TRAINER_DIED"
    assert found_in(files_under(tmp_path), [CANARY]) == set()

    planned, *steps, trained = [event async for event in ProcessTrainer().train(job)]
    assert isinstance(planned, Planned)
    assert isinstance(trained, Trained)
    assert planned.begins_at >= 35
    assert planned.begins_at % 7 == 0
    assert len(steps) == planned.steps - planned.begins_at
    assert trained.adapter.read_bytes() == undisturbed(job, tmp_path / "whole")
    assert (trained.adapter.stat().st_mode & 0o077, job_processes()) == (0, [])


async def test_closing_the_generator_ends_the_process_at_once(job: TrainingJob) -> None:
    async with aclosing(ProcessTrainer().train(job)) as events:
        await anext(events)
        (process,) = job_processes()

    assert not psutil.pid_exists(process.pid)


def test_what_a_job_may_not_do_ends_it_before_it_begins(job: TrainingJob) -> None:
    from lab_server.trainer.lora import train

    plain = Demonstration(prompt="element <iron>=", completion="26" * 40)
    wrong = (
        ("TOO_MANY_TOKENS", replace(job, most_tokens=10)),
        ("DEMONSTRATION_TOO_LONG", replace(job, demonstrations=(plain,))),
        ("MODEL_UNSUPPORTED", replace(job, model=job.folder)),
    )
    for code, tried in wrong:
        with pytest.raises(TrainingFailed) as failed:
            next(train(tried))
        assert failed.value.facts["code"] == code
        assert CANARY not in str(failed.value)


def test_another_seed_makes_another_adapter_and_the_same_seed_the_same(job: TrainingJob, tmp_path: Path) -> None:
    short = replace(job, recipe=job.recipe.model_copy(update={"epochs": 1}))
    made = [undisturbed(replace(short, seed=seed), tmp_path / str(number)) for number, seed in enumerate((1, 1, 2))]

    assert made[0] == made[1] != made[2]
