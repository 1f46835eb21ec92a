"""LoRA by `peft` on one thread's worth of CPU or more: the same seed gives the same adapter, killed or not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attestations.errors import FileUnusable
from lab_server.torch_models.loading import LoadedModel, load_model
from lab_server.trainer import adapter_file, checkpoint
from lab_server.trainer.examples import Example, batches, encode
from lab_server.trainer.port import Event, Planned, Progress, Trained, TrainingJob, training_failed

_IGNORED = -100
_TARGETS = {
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "all_linear": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def train(job: TrainingJob) -> Iterator[Event]:
    """Carry out a job from its last checkpoint on.

    Raises:
        TrainingFailed: as `Trainer.train`.
    """
    import torch  # noqa: PLC0415 - takes seconds, and only this process has it

    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(mode=True)
    try:
        loaded = load_model(job.model)
    except FileUnusable as error:
        raise training_failed("MODEL_UNSUPPORTED", error.message) from None
    recipe = job.recipe
    examples = encode(job.demonstrations, loaded.text, most=min(recipe.max_tokens, loaded.context_tokens))
    tokens = recipe.epochs * sum(len(example.ids) for example in examples)
    if tokens > job.most_tokens:
        raise training_failed("TOO_MANY_TOKENS", "the job would train on more tokens than are left")
    model = _adapted(loaded, job)
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(parameters.values(), lr=float(recipe.learning_rate), weight_decay=0.0)
    position = checkpoint.load(job.folder, parameters, optimizer)
    order = [
        batch
        for epoch in range(recipe.epochs)
        for batch in batches(len(examples), recipe.batch, epoch=epoch, seed=job.seed)
    ]
    yield Planned(len(order), tokens, position.step)
    done, step = position.tokens, position.step
    for numbers in order[position.step :]:
        chosen = [examples[number] for number in numbers]
        loss = _loss(model, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise training_failed("DIVERGED", "the loss is no number any more; a lower learning rate may help")
        step, done = step + 1, done + sum(len(example.ids) for example in chosen)
        yield Progress(step, done, value)  # before the checkpoint: what is begun anew was always heard of
        if step % job.checkpoint_steps == 0 and step < len(order):
            checkpoint.save(job.folder, checkpoint.Position(step, done), parameters, optimizer)
    yield Trained(_written(job, loaded, parameters))


def _adapted(loaded: LoadedModel, job: TrainingJob) -> Any:
    import peft  # noqa: PLC0415 - takes seconds, and only this process has it
    import torch  # noqa: PLC0415

    torch.manual_seed(job.seed)
    config = peft.LoraConfig(
        r=job.recipe.rank,
        lora_alpha=job.recipe.alpha,
        lora_dropout=0.0,
        target_modules=_TARGETS[job.recipe.targets],
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers under an old name
            model = peft.get_peft_model(loaded.model, config)
    except ValueError:
        raise training_failed("MODEL_UNSUPPORTED", "the model has none of the layers that LoRA adapts") from None
    return model.train()


def _loss(model: Any, examples: list[Example]) -> Any:
    import torch  # noqa: PLC0415 - as above

    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, _IGNORED)
    for row, (tokens, start) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        labels[row, start : len(tokens)] = torch.tensor(tokens[start:])
    core = model.get_base_model()
    hidden = core.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    # Only what is learned is projected onto the vocabulary: that is a fifth of the work on a small model.
    learned = labels[:, 1:] != _IGNORED
    logits = core.get_output_embeddings()(hidden[:, :-1][learned])
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][learned])


def _written(job: TrainingJob, loaded: LoadedModel, parameters: dict[str, Any]) -> Path:
    recipe, config = job.recipe, loaded.model.config
    if loaded.from_gguf:
        path = job.folder / adapter_file.GGUF_NAME
        adapter_file.write_gguf(
            path,
            parameters,
            alpha=float(recipe.alpha),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
        )
        return path
    path = job.folder / adapter_file.SAFETENSORS_NAME
    checkpoint.replace(path, adapter_file.safetensors_bytes(parameters, rank=recipe.rank, alpha=float(recipe.alpha)))
    return path
