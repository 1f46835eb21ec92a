"""How long a suite of 50,000 items takes to import, to check and to commit, and the most memory each command has."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from tests.bench.commands import Figures, command

_SUBJECTS = 50


def run(folder: Path, items: int) -> list[Figures]:
    """Import a made-up suite of MMLU's form, check it and commit it."""
    folder.mkdir()
    write_source(folder / "source.csv", items)
    command(folder, "auditor", "init", "--home", "home")
    suite = ("--suite", "home/suite")
    return [
        command(folder, "auditor", "suite", "import", "mmlu", "source.csv", "--into", "home/suite"),
        command(folder, "auditor", "suite", "check", *suite),
        command(folder, "auditor", "suite", "commit", "--home", "home", *suite),
    ]


def write_source(path: Path, items: int) -> None:
    """Write questions of words that mean nothing, with four options each."""
    chance = random.Random(items)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(5000)]

    def text(many: int) -> str:
        return " ".join(chance.choices(words, k=many))

    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("question", "subject", "a", "b", "c", "d", "answer"))
        for number in range(items):
            options = (text(5) for _ in range(4))
            out.writerow((f"{text(40)}?", f"subject-{number % _SUBJECTS}", *options, chance.choice("ABCD")))
