"""What belongs to the repository: its files as git sees them, without what git ignores."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every file that is committed or would be, sorted; of an unpacked archive, what lies in the known folders."""
    if not (ROOT / ".git").exists():
        folders = ("attestations", "auditor_client", "docs", "lab_server", "proto", "requirements", "tests")
        found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
        return tuple(sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
    )
    names = listed.stdout.decode().split("\0")
    return tuple(sorted(ROOT / name for name in names if name and (ROOT / name).is_file()))


def is_generated(path: Path) -> bool:
    """Whether `make proto` wrote this file."""
    return path.name.endswith(("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"))


def python_files() -> tuple[Path, ...]:
    """The Python files people write."""
    return tuple(path for path in files() if path.suffix == ".py" and not is_generated(path))


def relative(path: Path) -> str:
    """The name a reader would use for a file."""
    return path.relative_to(ROOT).as_posix()
