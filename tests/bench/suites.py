"""How long a suite of 50,000 items takes to import, to check and to commit, and the most memory each command has."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

_SUBJECTS = 50


class Figures(NamedTuple):
    """What one command took."""

    command: str
    wall: float
    cpu: float
    peak_mib: float


def run(folder: Path, items: int) -> list[Figures]:
    """Import a made-up suite of MMLU's form, check it and commit it."""
    folder.mkdir()
    write_source(folder / "source.csv", items)
    _command(folder, "init", "--home", "home")
    suite = ("--suite", "home/suite")
    return [
        _command(folder, "suite", "import", "mmlu", "source.csv", "--into", "home/suite"),
        _command(folder, "suite", "check", *suite),
        _command(folder, "suite", "commit", "--home", "home", *suite),
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


def _command(folder: Path, *words: str) -> Figures:
    started = time.perf_counter()
    process = subprocess.Popen(
        (sys.executable, "-m", "attestations.cli", "auditor", *words), cwd=folder, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    wall = time.perf_counter() - started
    return Figures(" ".join(words[:2]), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
