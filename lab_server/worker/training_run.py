"""One fine-tune job under way in this boot: what is known of it, and what is stated of it at any time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from attestations.documents.finetuning import (
    MAX_LOSSES,
    FineTuneResult,
    JobState,
    LossPoint,
    StartTraining,
    TrainingStatement,
    start_root,
)
from attestations.errors import TrainingFailed
from lab_server.hook_port import NOTHING_USED, Done, HookPlace
from lab_server.trainer.port import Event, Planned, Progress, training_failed

_POINTS = 200  # of a loss curve


@dataclass(frozen=True)
class Trainable:
    """A variant that may be trained from: its files and its identity."""

    model: Path
    manifest: str


@dataclass
class JobUnderWay:
    """A job under way in this boot."""

    agreement: str
    action: StartTraining
    base: str
    folder: Path
    trainer: str
    statement: TrainingStatement
    began: float
    most_tokens: int
    losses: list[float] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)  # tokens so far, after each step
    deaths: int = 0  # of its trainer
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    failed: TrainingFailed | None = None  # before anything was planned
    due: tuple[JobState, str | None] | None = None  # state and code of its end, which the disk has not taken yet


def first_statement(
    action: StartTraining, place: HookPlace, trainable: Trainable, trainer: str, job: str
) -> TrainingStatement:
    """Return how a job stands before anything is planned."""
    return TrainingStatement(
        job=job,
        state="RUNNING",
        base=place.variant,
        base_manifest=trainable.manifest,
        demonstrations=start_root(action),
        count=len(action.demonstrations),
        recipe=action.recipe,
        trainer=trainer,
        planned_steps=0,
        planned_tokens="0",
        steps=0,
        tokens="0",
        seconds="0",
        resumed=0,
    )


def heard(running: JobUnderWay, event: Event) -> dict[str, object]:
    """Return what changes in a job's statement after its trainer said something, and keep its losses.

    A trainer that was started again says where it begins before anything is stated of that: what is stated never goes
    back but together with `resumed`.

    Raises:
        TrainingFailed: `TOO_MANY_TOKENS`; or `PLAN_BROKEN`, another plan than before, or steps that do not keep to it.
    """
    now = running.statement
    changes: dict[str, object] = {"seconds": seconds_so_far(running)}
    if isinstance(event, Planned):
        _check_plan(running, event)
        del running.losses[event.begins_at :], running.trained[event.begins_at :]
        tokens = running.trained[-1] if running.trained else 0
        changes |= {"planned_steps": event.steps, "planned_tokens": str(event.tokens), "steps": event.begins_at}
        return changes | {"tokens": str(tokens), "resumed": running.deaths}
    if isinstance(event, Progress):
        before = running.trained[-1] if running.trained else 0
        one_more = event.step == now.steps + 1 <= now.planned_steps
        if not one_more or not before <= event.tokens <= int(now.planned_tokens):
            raise training_failed("PLAN_BROKEN", "the trainer's steps are not those it planned")
        running.losses.append(event.loss)
        running.trained.append(event.tokens)
        return changes | {"steps": event.step, "tokens": str(event.tokens)}
    if (now.steps, now.tokens) != (now.planned_steps, now.planned_tokens) or not now.steps:
        raise training_failed("PLAN_BROKEN", "the trainer ended without the training it planned")
    return changes


def _check_plan(running: JobUnderWay, event: Planned) -> None:
    now, planned = running.statement, (event.steps, str(event.tokens))
    if event.tokens > running.most_tokens:
        raise training_failed("TOO_MANY_TOKENS", "the trainer plans more tokens than are left")
    known = now.planned_steps and planned != (now.planned_steps, now.planned_tokens)
    if known or min(event.steps, event.tokens) < 1 or not 0 <= event.begins_at <= len(running.losses):
        raise training_failed("PLAN_BROKEN", "the trainer changed its plan, or has none")


def told(running: JobUnderWay) -> Done:
    """Return how a job stands now, as the hook answers."""
    if running.statement.state == "RUNNING":
        running.statement = running.statement.model_copy(update={"seconds": seconds_so_far(running)})
    result = FineTuneResult(statement=running.statement, losses=tuple(curve(running)))
    return Done(result, running.statement, NOTHING_USED)


def seconds_so_far(running: JobUnderWay) -> str:
    """Return how long a job has run, in seconds."""
    return f"{time.monotonic() - running.began:.3f}"


def curve(running: JobUnderWay) -> list[LossPoint]:
    """Return the losses as at most `_POINTS` means over equally many steps."""
    losses = running.losses
    width = max(1, -(-max(running.statement.planned_steps, 1) // min(_POINTS, MAX_LOSSES)))
    pieces = [losses[at : at + width] for at in range(0, len(losses), width)]
    ends = [min(at + width, len(losses)) for at in range(0, len(losses), width)]
    means = [sum(piece) / len(piece) for piece in pieces]
    return [LossPoint(step=end, loss=f"{mean:.6f}") for end, mean in zip(ends, means, strict=True)]
