"""What a job needs to go on after a kill: adapter, optimizer and losses in one file that is whole or absent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "checkpoint.safetensors"
_KEYS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Position:
    """How far a job is."""

    step: int = 0
    tokens: int = 0


def save(folder: Path, position: Position, parameters: dict[str, Any], optimizer: Any) -> None:
    """Write a checkpoint in place of the last one, durably."""
    from safetensors.torch import save as to_bytes  # noqa: PLC0415 - in the job process only

    tensors = {f"value/{name}": value.detach().contiguous() for name, value in parameters.items()}
    for name, value in parameters.items():
        state = optimizer.state.get(value, {})
        tensors |= {f"{key}/{name}": state[key].contiguous() for key in _KEYS if key in state}
    told = {"step": str(position.step), "tokens": str(position.tokens)}
    replace(folder / NAME, to_bytes(tensors, metadata=told))


def load(folder: Path, parameters: dict[str, Any], optimizer: Any) -> Position:
    """Take up the last checkpoint, if there is one, and return where it stands."""
    from safetensors import safe_open  # noqa: PLC0415 - in the job process only

    path = folder / NAME
    if not path.exists():
        return Position()
    import torch  # noqa: PLC0415

    with safe_open(path, framework="pt") as file, torch.no_grad():
        told, names = file.metadata(), set(file.keys())
        for name, value in parameters.items():
            value.copy_(file.get_tensor(f"value/{name}"))
            state = {key: file.get_tensor(f"{key}/{name}").clone() for key in _KEYS if f"{key}/{name}" in names}
            if state:
                optimizer.state[value] = state
    return Position(int(told["step"]), int(told["tokens"]))


def replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; only its owner can read it."""
    unfinished = path.with_suffix(".part")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
