"""The port behind which every training service stands.

A trainer sees one job: a model, a recipe and demonstrations. It never sees agreements, budgets or keys. What it
keeps, it keeps under the job's own folder, and none of it is a demonstration in clear.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from attestations.documents.finetuning import Demonstration, Recipe
from attestations.errors import TrainingFailed

FailureCode = Literal[
    "TRAINER_DIED",
    "TRAINER_MISSING",
    "MODEL_UNSUPPORTED",
    "DEMONSTRATION_TOO_LONG",
    "TOO_MANY_TOKENS",
    "DIVERGED",
    "PLAN_BROKEN",
    "NO_ROOM",
]


@dataclass(frozen=True, repr=False)
class TrainingJob:
    """One job; run again with the same values, it goes on from its last checkpoint to the same end.

    `model` is a GGUF file or a folder with `config.json` and safetensors. `folder` exists and is the job's own.
    `seed` decides the adapter's first values and the order of the demonstrations. `most_tokens` bounds what all
    epochs together may train on.
    """

    model: Path
    recipe: Recipe
    demonstrations: tuple[Demonstration, ...]
    seed: int
    folder: Path
    most_tokens: int
    threads: int = 1
    checkpoint_steps: int = 20


@dataclass(frozen=True)
class Planned:
    """What the job will cost, in optimizer steps and tokens, and at which step it begins.

    Run again, a job plans the same and begins at most where its last `Progress` was.
    """

    steps: int
    tokens: int
    begins_at: int


@dataclass(frozen=True)
class Progress:
    """A step was made; `loss` is the mean over the completions' tokens, `tokens` counts all so far."""

    step: int
    tokens: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """The job ended well; `adapter` is a file a backend can load over the model."""

    adapter: Path


Event = Planned | Progress | Trained


class Trainer(Protocol):
    """Trains adapters; several jobs may be under way at once."""

    async def identify(self) -> str:
        """Return name and version, as they stand in signed statements.

        Raises:
            TrainingFailed: `TRAINER_MISSING`, what it needs is not installed.
        """
        ...

    def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        """Yield `Planned`, then `Progress` as it comes, then exactly one `Trained`.

        Closing the generator ends the job at once and leaves its folder as it is.

        Raises:
            TrainingFailed: with the fact `code`, one of `FailureCode`; after `TRAINER_DIED` the job may be run again.
        """
        ...


def training_failed(code: FailureCode, message: str) -> TrainingFailed:
    """Return the error for a failure of one kind; `message` holds no content."""
    return TrainingFailed(message, code=code)
