"""How a job and its events travel through the pipes of its process: one line of JSON each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attestations.documents.base import validated
from attestations.documents.finetuning import Demonstration, Recipe
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob, training_failed


def job_bytes(job: TrainingJob) -> bytes:
    """Return a job as one line."""
    value = {
        "model": str(job.model),
        "recipe": job.recipe.json_value(),
        "demonstrations": [item.json_value() for item in job.demonstrations],
        "seed": job.seed,
        "folder": str(job.folder),
        "most_tokens": job.most_tokens,
        "threads": job.threads,
        "checkpoint_steps": job.checkpoint_steps,
    }
    return json.dumps(value).encode() + b"\n"


def job_from_bytes(line: bytes) -> TrainingJob:
    """Read what `job_bytes` wrote."""
    value: dict[str, Any] = json.loads(line)
    return TrainingJob(
        model=Path(value["model"]),
        recipe=validated(Recipe, value["recipe"]),
        demonstrations=tuple(validated(Demonstration, item) for item in value["demonstrations"]),
        seed=value["seed"],
        folder=Path(value["folder"]),
        most_tokens=value["most_tokens"],
        threads=value["threads"],
        checkpoint_steps=value["checkpoint_steps"],
    )


def event_line(event: Event) -> str:
    """Return an event as one line."""
    match event:
        case Planned():
            return json.dumps({"planned": [event.steps, event.tokens, event.begins_at]})
        case Progress():
            return json.dumps({"progress": [event.step, event.tokens, event.loss]})
        case Trained():
            return json.dumps({"trained": str(event.adapter)})


def event_from_line(line: bytes) -> Event:
    """Read what the job process wrote.

    Raises:
        TrainingFailed: it says that the job failed, or says nothing of sense.
    """
    try:
        value: dict[str, Any] = json.loads(line)
        if "planned" in value:
            return Planned(*value["planned"])
        if "progress" in value:
            return Progress(*value["progress"])
        if "trained" in value:
            return Trained(Path(value["trained"]))
        code, message = value["failed"], value["message"]
    except (ValueError, TypeError, KeyError, AttributeError):
        code, message = "TRAINER_DIED", "the trainer said something that makes no sense"
    raise training_failed(code, message)
