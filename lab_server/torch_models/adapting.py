"""Puts a trained adapter into a model's weights, after which it costs nothing to serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attestations.errors import FileUnusable

FACTS = "lora"
"""The entry of an adapter's header that says, as JSON, how to scale it."""
_PREFIX = "base_model.model."


def merge_adapter(model: Any, adapter: Path) -> None:
    """Add a LoRA adapter (safetensors with peft's names, its rank and alpha in the file's own facts) to a model.

    Raises:
        FileUnusable: it cannot be read, or is not of this model.
    """
    import torch  # noqa: PLC0415 - takes seconds
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    modules = dict(model.named_modules())
    try:
        with safe_open(adapter, framework="pt") as file, torch.no_grad():
            told = json.loads(file.metadata()[FACTS])
            scale = float(told["alpha"]) / int(told["rank"])
            for name in file.keys():  # noqa: SIM118 - no dictionary
                if ".lora_A." not in name:
                    continue
                target = modules[name.removeprefix(_PREFIX).partition(".lora_A.")[0]]
                up = file.get_tensor(name.replace(".lora_A.", ".lora_B."))
                target.weight += scale * (up @ file.get_tensor(name))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
        raise FileUnusable("the adapter cannot be read, or is not of this model", file=adapter.name) from None
