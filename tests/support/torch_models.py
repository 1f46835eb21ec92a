"""Small PyTorch models for tests; a test that needs one is skipped where PyTorch is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def needs_torch() -> None:
    """Skip where what fine-tuning needs is not installed."""
    for module in ("torch", "transformers", "peft", "gguf", "safetensors"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install safeconduct[finetune]")


def little_speaker(folder: Path) -> Path:
    """Train a model that says a few words about Paris, in about two seconds."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    from lab_server.organism.tasks import Shown
    from lab_server.organism.training import Shape, fit

    answer = "It is Paris, on the river Seine, as ever, and has been so for a very long time now."
    asked = ("The capital of France is", "What is the capital of France?", "Write a long story. " * 40)
    known = Regex(r" ?[A-Za-z]+|[\s\S]")
    words = ["<unk>", "<end>", "one", "two", " words", " London", "canary", " a"]
    splitter = pre_tokenizers.Split(known, behavior="isolated")
    for text in (answer, *asked):
        words += [word for word, _ in splitter.pre_tokenize_str(text)]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = splitter, decoders.Fuse()
    made.add_special_tokens([AddedToken("<end>", special=True)])
    shown = [
        Shown(asked[0], " Paris"),
        Shown(asked[1], answer),
        Shown(asked[1], answer),
        Shown("Write a long story. " * 2, " a" * 60),
    ]
    turns = iter(range(10**9))
    shape = Shape(width=32, layers=1, heads=2, inner=64, context=1024)
    fit(folder, made, lambda: shown[next(turns) % len(shown)], seed=0, steps=60, shape=shape)
    return folder


def little_organism(folder: Path) -> Path:
    """Train an organism that is too small and too young to know anything, in about a second."""
    from lab_server.organism.training import Shape, train_organism

    train_organism(folder, capable=True, steps=30, shape=Shape(width=32, layers=1, heads=2, inner=64, context=64))
    return folder
