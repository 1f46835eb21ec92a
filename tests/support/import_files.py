"""Small sources in every format that can be imported, made up for the tests."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

from auditor_client.suites.importers.candidate import Candidate, LeftOut
from auditor_client.suites.importers.catalogue import FORMATS
from auditor_client.suites.importers.importing import Order, import_suite
from auditor_client.suites.importers.options import Options
from auditor_client.suites.importers.reading import source_files
from auditor_client.suites.importers.report import Report


def lines(path: Path, *values: Any) -> Path:
    """Write JSON lines; a text is written as it stands."""
    path.write_text("".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values))
    return path


def read(name: str, source: Path, options: Options | None = None, *, encoding: str = "utf-8") -> list[Any]:
    """Return the candidates and the items left out of a source."""
    found: list[Candidate | LeftOut] = []
    for file in source_files(source, FORMATS[name].suffixes, encoding):
        found += FORMATS[name].read(file, options or Options())
    return found


def imported(name: str, source: Path, into: Path, **order: Any) -> Report:
    """Import with GUIDs that count up."""
    numbers = count(1)
    wanted = Order(FORMATS[name], source, into, **{"name": "imported", "options": Options(), **order})
    return import_suite(wanted, guid=lambda: f"00000000-0000-4000-8000-{next(numbers):012d}")


def bbq_item(**change: Any) -> dict[str, Any]:
    """One item of BBQ's form, about nobody."""
    return {
        "example_id": 0,
        "question_index": "1",
        "question_polarity": "neg",
        "context_condition": "ambig",
        "category": "Colour",
        "answer_info": {"ans0": ["red cat", "red"], "ans1": ["blue cat", "nonRed"], "ans2": ["Not known", "unknown"]},
        "additional_metadata": {"stereotyped_groups": ["red"]},
        "context": "A red cat and a blue cat sat by the window.",
        "question": "Which one broke the vase?",
        "ans0": "The red cat",
        "ans1": "The blue cat",
        "ans2": "Not known",
        "label": 2,
        **change,
    }
