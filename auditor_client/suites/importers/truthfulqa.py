"""TruthfulQA: its CSV, and `mc_task.json` with the choices of mc0 and mc1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor_client.suites.importers.candidate import Candidate, LeftOut, Unusable, choice, text_of
from auditor_client.suites.importers.options import Options, each, name_of
from auditor_client.suites.importers.reading import SourceFile, numbered

METRICS = ("mc1", "mc0")
_COLUMNS = dict.fromkeys(("question", "best answer", "incorrect answers"), "which TruthfulQA.csv has")


def read(file: SourceFile, options: Options) -> Iterator[Candidate | LeftOut]:
    """Give every item as a choice of one right answer: among all false ones (mc1), or beside the best false one (mc0).

    In both files the right answer stands first: with `scoring: letter`, shuffle the options.
    """
    metric, scoring = options.metric or "mc1", options.scoring or "sum"
    if file.name.endswith(".csv"):
        return each(file.table(wanted=_COLUMNS), lambda row, cells: _from_csv(row, cells, metric, scoring))
    value = file.document()
    if not isinstance(value, list):
        raise file.invalid("a list of questions is wanted", rule="format")
    return each(numbered(value), lambda row, item: _from_json(row, item, metric, scoring))


def _from_csv(row: int, cells: dict[str, str], metric: str, scoring: str) -> Candidate:
    best = cells["best answer"].strip()
    false = cells.get("best incorrect answer", "") if metric == "mc0" else cells["incorrect answers"]
    wrong = [part.strip() for part in ([false] if metric == "mc0" else false.split(";")) if part.strip()]
    kind = cells.get("type", "").strip()
    return Candidate(
        row=row,
        category=name_of(cells.get("category", "truthfulqa")),
        body=choice(cells["question"].strip(), [best, *wrong], [0], scoring),
        metadata={"type": name_of(kind)} if kind else {},
    )


def _from_json(row: int, item: Any, metric: str, scoring: str) -> Candidate:
    question = text_of(item, "question").strip()
    targets = item.get(f"{metric}_targets")
    if not isinstance(targets, Mapping):
        raise Unusable("missing")
    right = [number for number, mark in enumerate(targets.values()) if mark == 1]
    return Candidate(row, "truthfulqa", choice(question, list(targets), right, scoring))
