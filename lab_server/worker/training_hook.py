"""Makes the fine-tune hook from the settings, or says why there is none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from attestations.errors import ConfigurationInvalid, TrainingFailed
from lab_server.home import Home
from lab_server.settings import Settings
from lab_server.trainer.port import Trainer
from lab_server.trainer.process import ProcessTrainer
from lab_server.trainer.rehearsed import RehearsedTrainer
from lab_server.worker.derived import DerivedVariants, JobFolders
from lab_server.worker.finetuning import FineTuning
from lab_server.worker.sealed_runs import Served
from lab_server.worker.serving import open_backend, weights_of
from lab_server.worker.training_run import Trainable


async def fine_tune_hook(
    home: Home, settings: Settings, served: Mapping[str, Served], declined: dict[str, str]
) -> FineTuning | None:
    """Return the fine-tune hook, or say in `declined` why there is none."""
    limits = settings.hooks.fine_tune
    if limits.state != "on":
        return None
    trainer = _trainer(limits.trainer)
    try:
        await trainer.identify()
    except TrainingFailed as error:
        declined["fine_tune"] = error.message
        return None
    models = {}
    for variant in settings.variant:
        backend = settings.backend[variant.backend]
        files = weights_of(home, backend)
        if backend.kind == "scripted" and limits.trainer != "peft":
            files = home.relative(backend.script or "")
        if files is not None:
            models[variant.id] = Trainable(files, served[variant.id].manifest)
    backends = {variant.id: settings.backend[variant.backend] for variant in settings.variant}
    folders = JobFolders(home.path / "fine-tuning")
    return FineTuning(
        trainer=trainer,
        models=models,
        folders=folders,
        derived=DerivedVariants(folders, lambda base, adapter: open_backend(home, backends[base], adapter)),
        at_once=limits.jobs,
        threads=limits.threads,
        checkpoint_steps=limits.checkpoint_steps,
    )


def _trainer(name: str) -> Trainer:
    if name == "peft":
        return ProcessTrainer()
    if name == "rehearsed":
        return RehearsedTrainer()
    module, _, factory = name.partition(":")
    try:
        made: Trainer = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError):
        raise ConfigurationInvalid(f"there is no trainer {name}", field="hooks.fine_tune.trainer") from None
    return made
