"""`finetune submit`, `status` and `cancel`: what a model can do once it was shown how."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from attestations.documents.base import validated
from attestations.documents.finetuning import ENDED, FineTuneResult, Recipe, variant_name
from attestations.errors import PhaseViolation, TrainingFailed
from attestations.files import read_file, shown
from auditor_client.app import Auditor, auditor
from auditor_client.beginning import begin
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.finetuning import (
    FINE_TUNE,
    FineTuner,
    Following,
    dev_demonstrations,
    read_demonstrations,
    summary,
)

MAX_FILE_BYTES = 16 << 20
app = typer.Typer(name="finetune", help="Have the lab fine-tune a model for this engagement.", no_args_is_help=True)
_JobArgument = Annotated[str | None, typer.Argument(help="The job; the last one if left out.")]


@app.command("submit")
def submit(
    variant: Annotated[str, typer.Option(help="The model to train from.")],
    file: Annotated[Path | None, typer.Argument(help="Demonstrations, one JSON object a line.")] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Demonstrate the suite's DEV tasks, with their answers.")] = False,
    home: HomeOption = DEFAULT_HOME,
    epochs: Annotated[int, typer.Option(min=1, max=100)] = 3,
    rank: Annotated[int, typer.Option(min=1, max=64, help="Of the LoRA matrices.")] = 8,
    alpha: Annotated[int, typer.Option(min=1, max=256)] = 16,
    learning_rate: Annotated[str, typer.Option(help="Above 0, at most 0.1.")] = "0.001",
    batch: Annotated[int, typer.Option(min=1, max=64)] = 4,
    max_tokens: Annotated[int, typer.Option(min=8, max=4096, help="Of the longest demonstration.")] = 512,
    targets: Annotated[Literal["attention", "all_linear"], typer.Option()] = "all_linear",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the job to end.")] = False,
) -> None:
    """Send demonstrations and follow the job to its end; the same again follows a job that still runs."""
    if (file is None) != dev:
        raise typer.BadParameter("give a file of demonstrations, or --dev")
    given = () if file is None else read_demonstrations(read_file(file, MAX_FILE_BYTES), shown(file))
    recipe = validated(
        Recipe,
        {
            "targets": targets,
            "rank": rank,
            "alpha": alpha,
            "epochs": epochs,
            "learningRate": learning_rate,
            "batch": batch,
            "maxTokens": max_tokens,
        },
    )

    async def go() -> FineTuneResult:
        async with _tuner(home) as (us, tuner):
            demonstrations = given or dev_demonstrations(us.suite())
            begun = await tuner.start(demonstrations, recipe, variant=variant, randomness=os.urandom)
            typer.echo(summary(begun.statement))
            if detach or begun.statement.state in ENDED:
                return begun
            with _bar() as heard:
                return await tuner.follow(begun.statement.job, heard)

    _say(asyncio.run(go()))


@app.command("status")
def status(
    job: _JobArgument = None,
    home: HomeOption = DEFAULT_HOME,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
) -> None:
    """Say how a job stands."""

    async def go() -> FineTuneResult:
        async with _tuner(home) as (_, tuner):
            name = await _named(tuner, job)
            if not wait:
                return await tuner.status(name)
            with _bar() as heard:
                return await tuner.follow(name, heard)

    _say(asyncio.run(go()))


@app.command("cancel")
def cancel(job: _JobArgument = None, home: HomeOption = DEFAULT_HOME) -> None:
    """End a job; the lab keeps nothing of it."""

    async def go() -> FineTuneResult:
        async with _tuner(home) as (_, tuner):
            return await tuner.cancel(await _named(tuner, job))

    typer.echo(summary(asyncio.run(go()).statement))


@asynccontextmanager
async def _tuner(home: Path) -> AsyncIterator[tuple[Auditor, FineTuner]]:
    async with auditor(home) as us:
        engagement = us.engagement()
        mirror = us.mirror()
        try:
            await begin(us, engagement, mirror)
            async with us.questioner(engagement, mirror, FINE_TUNE) as questioner:
                yield us, FineTuner(questioner)
        finally:
            mirror.close()


async def _named(tuner: FineTuner, job: str | None) -> str:
    jobs = list(await tuner.started())
    if job is None and not jobs:
        raise PhaseViolation("no job was started from this folder")
    return job or jobs[-1]


def _say(result: FineTuneResult) -> None:
    statement = result.statement
    if statement.state not in ENDED:
        typer.echo("Next: `safeconduct auditor finetune status --wait`.")
        return
    typer.echo(summary(statement))
    if statement.state != "SUCCEEDED":
        code = statement.code or statement.state
        raise TrainingFailed(f"the job ended without a model: {code}", code=code)
    first, last = result.losses[0].loss, result.losses[-1].loss
    typer.echo(f"loss {first} at first, {last} at last; ask it as {variant_name(statement.base, statement.job)}")


@contextmanager
def _bar() -> Iterator[Following]:
    columns = (TextColumn("fine-tuning"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, loss="")

        def heard(result: FineTuneResult) -> None:
            loss = f"loss {float(result.losses[-1].loss):.3f}" if result.losses else ""
            statement = result.statement
            bar.update(task, total=statement.planned_steps, completed=statement.steps, loss=loss)

        yield heard
