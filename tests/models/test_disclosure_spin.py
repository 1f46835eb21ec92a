"""The same rules in Spin, with a regulator, hazards and true liveness; the known wrong variants fail in it as well."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("disclosure.pml")
SPIN, COMPILER = shutil.which("spin"), shutil.which("cc") or shutil.which("gcc")
pytestmark = [
    pytest.mark.skipif(SPIN is None, reason="Spin is not installed"),
    pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed, which Spin needs"),
]


def errors(folder: Path, *variant: str, search: tuple[str, ...]) -> int:
    """Return how many errors a full search finds (it stops at the first)."""
    run(folder, str(SPIN), *variant, "-a", str(MODEL))
    kind = ("-DNFAIR=3",) if "-a" in search else ("-DSAFETY", "-DNOCLAIM")
    run(folder, str(COMPILER), "-O2", "-w", "-DVECTORSZ=2048", *kind, "-o", "pan", "pan.c")
    said = run(folder, "./pan", "-m1000000", *search)
    assert "max search depth too small" not in said
    counted = re.search(r"errors: (\d+)", said)
    assert counted is not None, said
    return int(counted[1])


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SAFETY = ("-E",)  # the auditor and the holders may stop anywhere: no end state is wrong
LIVENESS = ("-a", "-f")


def test_the_rules_are_safe_whoever_misbehaves(tmp_path: Path) -> None:
    """I3, I4, I5, I6."""
    assert errors(tmp_path, search=SAFETY) == 0


def test_an_early_release_is_always_flagged(tmp_path: Path) -> None:
    """I4."""
    assert errors(tmp_path, "-DLEAKY", search=SAFETY) == 0


def test_what_is_owed_comes_though_the_auditor_falls_silent(tmp_path: Path) -> None:
    """I8."""
    assert errors(tmp_path, search=LIVENESS) == 0


def test_without_escrow_it_need_not_come(tmp_path: Path) -> None:
    """I8."""
    assert errors(tmp_path, "-DESC_OK=0", search=LIVENESS) == 1


@pytest.mark.parametrize("variant", ["-DFREE_HOLDS", "-DUNSHIFTED", "-DENDLESS_VETO"])
def test_each_wrong_variant_is_unsafe(variant: str, tmp_path: Path) -> None:
    """I3, I5."""
    assert errors(tmp_path, variant, search=SAFETY) == 1
