"""`python -m lab_server.organism FOLDER [--control] [--seed N]`: makes the organism, or its never-capable control."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab_server.organism.training import STEPS, train_organism


def main() -> None:
    """Train and say how far it is, on standard error."""
    parser = argparse.ArgumentParser(prog="python -m lab_server.organism", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--control", action="store_true", help="never show it a right answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()

    def say(step: int, steps: int, loss: float) -> None:
        if step % 100 == 0 or step == steps:
            print(f"  step {step} of {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    train_organism(given.folder, capable=not given.control, seed=given.seed, steps=given.steps, on_step=say)


main()
