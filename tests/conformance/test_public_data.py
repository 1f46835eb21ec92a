"""Importers and graders against published data, labels and verdicts that nobody here made."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.dialogue import ChatResult
from attestations.grading import grade
from auditor_client.suites.importers.candidate import Candidate, LeftOut, decimal
from auditor_client.suites.importers.options import Options
from auditor_client.suites.load import load_suite
from tests.support.import_files import imported, read


@pytest.fixture(scope="session")
def data(shared: Path) -> Path:
    folder = shared / "data"
    if not folder.is_dir():
        pytest.skip("needs the public data in the shared folder")
    return folder


def kept(items: list[Any]) -> list[Candidate]:
    return [item for item in items if isinstance(item, Candidate)]


def jsonl(path: Path) -> Iterator[Any]:
    with path.open() as file:
        yield from map(json.loads, file)


@pytest.mark.parametrize(
    ("name", "source", "items", "left_out"),
    [
        ("mmlu", "mmlu_redux", 1200, {"same-options": 2}),
        ("bbq", "bbq/data", 3840, {}),
        ("bigbench", "bigbench/tasks", 2719, {"several-answers": 1}),
        ("bigbench", "bbh/bbh", 1250, {}),
        ("anthropic-evals", "anthropic_evals", 2400, {}),
        ("truthfulqa", "truthfulqa/TruthfulQA.csv", 790, {"same-options": 1}),
        ("truthfulqa", "truthfulqa/mc_task.json", 790, {"empty": 17}),
        ("gsm8k", "gsm8k/test.first300.jsonl", 300, {}),
    ],
)
def test_every_item_is_accounted_for(data: Path, name: str, source: str, items: int, left_out: dict[str, int]) -> None:
    found = read(name, data / source)
    assert (items, left_out) == (len(found), Counter(item.rule for item in found if isinstance(item, LeftOut)))


def test_bbqs_answers_are_the_published_ones(data: Path) -> None:
    published = {(row["c"], row["id"]): row for row in jsonl(data / "bbq/unifiedqa_golden_predictions.jsonl")}
    compared = 0
    for file in ("Age.jsonl", "Nationality.sample80.jsonl"):
        for item, source in zip(
            kept(read("bbq", data / "bbq/data" / file)), jsonl(data / "bbq/data" / file), strict=True
        ):
            row = published[source["category"], source["example_id"]]
            mine = (item.body["answer"], item.metadata["bbq_unknown"], item.metadata["bbq_biased"])
            assert (row["label"], row["unknown"], row["biased"]) == mine
            assert (row["pol"], row["cond"]) == (item.metadata["bbq_polarity"], item.metadata["bbq_condition"])
            compared += 1
    assert compared == 3760


def test_bbqs_split_parts_no_template(data: Path, tmp_path: Path) -> None:
    imported("bbq", data / "bbq/data/Nationality.sample80.jsonl", tmp_path / "suite", controls=False)
    sides = defaultdict(set)
    for task in load_suite(tmp_path / "suite").tasks:
        sides[task.metadata["cluster"]].add(task.kind)
    assert all(len(kinds) == 1 for kinds in sides.values())


def test_numbers_are_judged_as_published(data: Path) -> None:
    """Every published answer as it stands: with commas, with a unit, cut off in the middle of a sum."""
    agreed: Counter[str] = Counter()
    rows = list(jsonl(data / "gsm8k/golden_model_verdicts.jsonl"))
    for row in rows:
        target = {"grader": "numeric", "value": decimal(row["truth"].removeprefix("A: "))}
        for model, (said, correct) in list(row.items())[2:]:
            found = grade({**target, "tolerance": "0", "relativeTolerance": "0"}, None, ChatResult(content=said))
            assert (found.outcome == "correct") is correct
            agreed[model] += correct
    rates = json.loads((data / "gsm8k/golden_rates.json").read_text())["published_is_correct_rate"]
    assert rates == {model: round(right / len(rows), 4) for model, right in agreed.items()}


@pytest.mark.parametrize("said", ["", "I do not know", "A: ", "None", "####", "nan"])
def test_an_answer_without_a_number_is_never_right(said: str) -> None:
    for value in ("0", "18"):
        target = {"grader": "numeric", "value": value, "tolerance": "0", "relativeTolerance": "0"}
        assert grade(target, None, ChatResult(content=said)).outcome != "correct"


def test_bbh_is_graded_to_the_published_accuracies(data: Path) -> None:
    """Direct: the first line. Chain of thought: what stands after the last "the answer is", without the full stop."""
    targets: dict[str, list[Candidate]] = {}
    for path in sorted((data / "bbh/bbh").glob("*.json")):
        targets[path.stem] = kept(read("bigbench", path, Options(metric="exact_str_match")))
    right: Counter[tuple[str, str]] = Counter()
    many: Counter[tuple[str, str]] = Counter()
    for row in jsonl(data / "bbh/golden_predictions_code-davinci-002.jsonl"):
        said = (
            row["pred"]
            if row["k"] == "direct"
            else row["pred"].rpartition("the answer is ")[2].strip().removesuffix(".")
        )
        body = targets[row["t"]][row["i"]].body
        assert [row["target"]] == body["answers"]
        target = {"grader": "exact", "answers": body["answers"], "normalise": body["normalise"]}
        right[row["t"], row["k"]] += grade(target, None, ChatResult(content=said)).outcome == "correct"
        many[row["t"], row["k"]] += 1
    published = json.loads((data / "bbh/golden_accuracies_code-davinci-002.json").read_text())["published"]
    assert {
        (task, kind): round(figures["published_accuracy"], 1)
        for task, kinds in published.items()
        for kind, figures in kinds.items()
    } == {key: round(100 * right[key] / many[key], 1) for key in many}


def test_the_check_finds_few_of_the_known_faulty_items_and_the_guide_says_so(
    data: Path, repository: Path, tmp_path: Path
) -> None:
    """MMLU-Redux: experts marked what is faulty. Looking at form finds little of it."""
    faulty = set()
    for path in sorted((data / "mmlu_redux").glob("*.csv")):
        with path.open(newline="") as file:
            delimiter = ";" if file.readline().count(";") else ","
            file.seek(0)
            for number, row in enumerate(csv.DictReader(file, delimiter=delimiter), start=1):
                if row["error_type"].strip().casefold() not in ("ok", "expert"):
                    faulty.add((path.stem, number))
    report = imported("mmlu", data / "mmlu_redux", tmp_path / "suite", controls=False)

    def flagged(*levels: str) -> set[tuple[str, int]]:
        names = [
            name
            for finding in report.findings
            if finding.level in levels and finding.rule != "upstream-error"
            for name in finding.tasks
        ]
        places = {(name.rpartition("/")[0], int(name.rpartition("/")[2])) for name in names}
        return places | {(place.file.removesuffix(".csv"), place.row) for place in report.left_out}

    said = (repository / "docs/guides/suites.md").read_text()
    for levels in (("error", "warning"), ("error", "warning", "info")):
        found = flagged(*levels)
        hits, alarms = len(found & faulty), len(found - faulty)
        assert f"{hits} of {len(faulty)}" in said, (levels, hits, alarms)
        assert f"{alarms} of {1200 - len(faulty)}" in said, (levels, hits, alarms)
