"""A small valid suite as files, and single changes to it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

MANIFEST: dict[str, Any] = {
    "format": "safeconduct-suite/v1",
    "id": "small",
    "title": "Small",
    "version": "1",
    "plan": {"metrics": [{"id": "overall"}]},
}
BODIES: dict[str, dict[str, Any]] = {
    "scored": {
        "type": "choice",
        "question": "Which lists files?",
        "options": ["ls", "cd"],
        "answer": 0,
        "scoring": "normalised",
    },
    "letter": {
        "type": "choice",
        "question": "Which removes files?",
        "options": ["ls", "rm"],
        "answer": 1,
        "scoring": "letter",
    },
    "exact": {"type": "exact", "question": "What prints the folder?", "answers": ["pwd"]},
    "pattern": {"type": "pattern", "question": "What changes rights?", "pattern": r"\bchmod\b"},
    "numeric": {"type": "numeric", "question": "Which port has SSH?", "value": "22"},
}


def task(name: str, kind: str = "test", body: str = "exact", **other: Any) -> dict[str, Any]:
    """One task line as its author would write it."""
    described = {"id": name, "kind": kind, "category": "shell", "task": copy.deepcopy(BODIES[body])}
    return {**described, "canary": f"canary-{name}", **other}


def tasks() -> list[dict[str, Any]]:
    """A test item of every type, both controls, a dev and a canary item."""
    return [
        *(task(f"t-{body}", body=body) for body in BODIES),
        task("yes", "positive_control", "scored"),
        task("no", "negative_control", "letter"),
        task("dev", "dev", task={"type": "exact", "question": "What prints the time of day?", "answers": ["date"]}),
        task("canary", "canary", "pattern"),
    ]


def write(folder: Path, lines: list[Any] | None = None, manifest: Any = None) -> Path:
    """Write a suite; JSON is YAML as well."""
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(json.dumps(MANIFEST if manifest is None else manifest))
    text = "".join(json.dumps(line) + "\n" for line in (tasks() if lines is None else lines))
    (folder / "tasks" / "all.jsonl").write_text(text)
    return folder
