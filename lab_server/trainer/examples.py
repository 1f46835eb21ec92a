"""Demonstrations as tokens: which are read, which are learned, and in which order they come."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from attestations.errors import ScopeExceeded
from lab_server.trainer.port import training_failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attestations.documents.finetuning import Demonstration
    from lab_server.torch_models.text import TextSide


class Example(NamedTuple):
    """The tokens of one demonstration; from `start` on they are learned, before it they are only read."""

    ids: list[int]
    start: int


def encode(demonstrations: Sequence[Demonstration], text: TextSide, *, most: int) -> list[Example]:
    """Return the demonstrations as tokens, prompt and completion apart: so the model meets them when it answers.

    Raises:
        TrainingFailed: `DEMONSTRATION_TOO_LONG`, one has more than `most` tokens; `MODEL_UNSUPPORTED`, the model
            has no chat template for a conversation.
    """
    examples = []
    for number, item in enumerate(demonstrations):
        try:
            read = text.encode(item.prompt if item.prompt is not None else text.prompt(item.messages))
        except ScopeExceeded:
            raise training_failed("MODEL_UNSUPPORTED", "the model's chat template takes no such conversation") from None
        ids = [*read, *text.encode(item.completion), text.end]
        if len(ids) > most or not read:
            raise training_failed("DEMONSTRATION_TOO_LONG", f"demonstration {number} has more tokens than allowed")
        examples.append(Example(ids, len(read)))
    return examples


def batches(count: int, size: int, *, epoch: int, seed: int) -> list[list[int]]:
    """Return the numbers of an epoch's examples in batches, in an order that the seed alone decides."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - must be repeatable
    return [order[at : at + size] for at in range(0, count, size)]
