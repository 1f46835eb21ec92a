"""A trainer that learns a scripted model its demonstrations by heart: for rehearsals, without PyTorch.

It says in its identity that it is a rehearsal, so no evidence made with it can pass for a real model's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from lab_server.backends.script_file import read_script
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob, training_failed

_STEP_SECONDS = 0.1  # long enough that a rehearsal can be watched, cancelled and killed


class RehearsedTrainer:
    """Makes a script that answers the demonstrated prompts as demonstrated (a `Trainer`)."""

    async def identify(self) -> str:
        """Return a name that nobody takes for a real trainer's."""
        return "rehearsed/1"

    async def train(self, job: TrainingJob) -> AsyncGenerator[Event, None]:
        """See `Trainer.train`; its checkpoint is a number."""
        recipe, words = job.recipe, sum(len(item.completion.split()) for item in job.demonstrations)
        if words * recipe.epochs > job.most_tokens:
            raise training_failed("TOO_MANY_TOKENS", "the job would train on more tokens than are left")
        per_epoch = -(-len(job.demonstrations) // recipe.batch)
        steps, place = recipe.epochs * per_epoch, job.folder / "checkpoint"
        begun = int(place.read_text()) if place.exists() else 0
        yield Planned(steps, words * recipe.epochs, begun)
        for step in range(begun + 1, steps + 1):
            await asyncio.sleep(_STEP_SECONDS)
            yield Progress(step, words * recipe.epochs * step // steps, 4.0 / step)
            if step % job.checkpoint_steps == 0:
                place.write_text(str(step))
        script = read_script(job.model)
        learned = {item.prompt or item.messages[-1].content: item.completion for item in job.demonstrations}
        known = dict(script.answers) if isinstance(script.answers, dict) else {}
        adapted = script.model_copy(update={"answers": {**known, **learned}})
        adapter = job.folder / "adapter.json"
        adapter.write_text(json.dumps(adapted.model_dump(exclude_none=True)))
        adapter.chmod(0o600)
        yield Trained(adapter)
