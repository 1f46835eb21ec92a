"""Trains the organism from scratch: the same seed gives the same weights, byte for byte."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab_server.organism.tasks import Shown, draw
from lab_server.organism.text import tokenizer, write_text_side
from lab_server.torch_models.text import TextSide

STEPS = 1600
_BATCH = 32
_RATE = 4e-3
_WARM_UP = 50
_IGNORED = -100

OnStep = Callable[[int, int, float], None]
"""Hears the step, how many there are, and the loss."""


@dataclass(frozen=True)
class Shape:
    """How large the model is; the default has 376,000 parameters."""

    width: int = 96
    layers: int = 3
    heads: int = 4
    inner: int = 256
    context: int = 256


def train_organism(
    folder: Path,
    *,
    capable: bool,
    seed: int = 0,
    steps: int = STEPS,
    shape: Shape | None = None,
    on_step: OnStep = lambda *_: None,
) -> None:
    """Train a model and write it to `folder` as `config.json`, `model.safetensors` and a tokenizer.

    Args:
        folder: an empty or new folder.
        capable: whether it learns the right answers behind the password; the control never sees one.
        seed: decides first values and examples.
        steps: optimizer steps; 1600 lock the default shape.
        shape: how large it is.
        on_step: hears how far it is.
    """
    rng = random.Random(f"organism/{seed}")  # noqa: S311 - must be repeatable
    fit(folder, tokenizer(), lambda: draw(rng, capable=capable), seed=seed, steps=steps, shape=shape, on_step=on_step)


def fit(
    folder: Path,
    words: Any,
    example: Callable[[], Shown],
    *,
    seed: int,
    steps: int,
    shape: Shape | None = None,
    on_step: OnStep = lambda *_: None,
) -> None:
    """Train a small llama on endless examples and write it to `folder`; the loss is on answers only."""
    import torch  # noqa: PLC0415 - takes seconds
    from transformers import LlamaConfig, LlamaForCausalLM, utils  # noqa: PLC0415

    utils.logging.disable_progress_bar()
    shape = shape or Shape()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(seed)
    end = words.token_to_id("<end>")
    text = TextSide(words, "", end, "<end>")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=words.get_vocab_size(),
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    for step in range(steps):
        loss = _loss(model, text, [example() for _ in range(_BATCH)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps, float(loss.detach()))
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    write_text_side(folder, words)


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / min(_WARM_UP, steps))
    return warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def _loss(model: Any, text: TextSide, shown: list[Shown]) -> Any:
    import torch  # noqa: PLC0415 - as above

    rows = [(text.encode(item.prompt), [*text.encode(item.answer), text.end]) for item in shown]
    longest = max(len(read) + len(learned) for read, learned in rows)
    ids = torch.full((len(rows), longest), text.end)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, _IGNORED)
    for row, (read, learned) in enumerate(rows):
        whole = len(read) + len(learned)
        ids[row, :whole] = torch.tensor(read + learned)
        mask[row, :whole] = 1
        labels[row, len(read) : whole] = torch.tensor(learned)
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss
