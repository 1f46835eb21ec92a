"""Where vectors lie and how they are written: one JSON file a family, the same bytes on every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def path(family: str) -> Path:
    """Return the file of a family."""
    return FOLDER / family / f"{family}.json"


def to_text(vectors: Any) -> str:
    """Return the text of a family's file."""
    return json.dumps(vectors, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read(family: str) -> Any:
    """Return the vectors of a family as they are kept."""
    return json.loads(path(family).read_text("utf-8"))


def write(family: str, vectors: Any) -> None:
    """Write the vectors of a family."""
    path(family).parent.mkdir(exist_ok=True)
    path(family).write_text(to_text(vectors), "utf-8")
