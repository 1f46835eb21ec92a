"""A suite is read whole, or refused with its place, its rule and nothing of its content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.suites.load import load_suite
from auditor_client.suites.scaffold import FILES
from tests.support.suite_files import BODIES, MANIFEST, task, tasks, write

SECRET = "xyzzy-hidden"


def refused(folder: Path) -> SuiteInvalid:
    with pytest.raises(SuiteInvalid) as caught:
        load_suite(folder)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.facts)
    return caught.value


def test_a_suite_keeps_the_order_of_its_lines(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path))
    assert [line["id"] for line in tasks()] == [item.id for item in suite.tasks]
    assert suite.manifest.id == "small"


def test_the_scaffold_is_a_suite(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert {"test", "positive_control", "negative_control"} <= {item.kind for item in load_suite(tmp_path).tasks}


def test_an_id_that_stands_twice_names_both_places(tmp_path: Path) -> None:
    error = refused(write(tmp_path, [task("a"), task("b"), task("a")]))
    assert "all.jsonl line 3 (task a)" in str(error)
    assert "all.jsonl line 1" in str(error)
    assert error.facts["rule"] == "duplicate"


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ("scored", {"answer": 2}),
        ("scored", {"answer": -1}),
        ("scored", {"options": [SECRET]}),
        ("scored", {"options": [SECRET, f"{SECRET}."]}),
        ("scored", {"options": [SECRET, " "]}),
        ("scored", {"scoring": SECRET}),
        ("exact", {"answers": []}),
        ("exact", {"answers": ["..."]}),
        ("exact", {"normalise": [SECRET]}),
        ("pattern", {"pattern": f"({SECRET}"}),
        ("pattern", {"pattern": f"{SECRET}^a"}),
        ("pattern", {"pattern": ".*"}),
        ("pattern", {"pattern": "(?=a)"}),
        ("numeric", {"value": "NaN"}),
        ("numeric", {"value": 22}),
        ("numeric", {"tolerance": "-1"}),
        ("exact", {"question": "  "}),
        ("exact", {"question": "\ud800"}),
        ("exact", {SECRET: SECRET}),
        ("exact", {"type": SECRET}),
    ],
)
def test_an_unanswerable_item_is_refused_by_name(tmp_path: Path, body: str, change: dict[str, Any]) -> None:
    error = refused(write(tmp_path, [task("fine"), {**task("bad"), "task": {**BODIES[body], **change}}]))
    assert "all.jsonl line 2 (task bad)" in str(error)
    assert (error.facts["task"], error.facts["line"]) == ("bad", "2")


@pytest.mark.parametrize("line", ["{", "[1]", "7", "null", '{"id": 1}', "[" * 100_000, '{"id":"a","id":"b"}', "NaN"])
def test_a_line_that_is_no_task_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path)
    (tmp_path / "tasks" / "all.jsonl").write_text(f"\n{line}\n")
    assert refused(tmp_path).facts["line"] == "2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "a: &x [1]\nb: *x",
        "!!python/object/apply:os.system ['true']",
        json.dumps(MANIFEST)[:-1] + ', "id": "again"}',
        json.dumps({**MANIFEST, SECRET: 1}),
        json.dumps({**MANIFEST, "format": SECRET}),
        json.dumps({**MANIFEST, "plan": {"metrics": []}}),
        json.dumps({**MANIFEST, "plan": {"metrics": [{"id": "x", "rule_out": 0.3}]}}),
        json.dumps({**MANIFEST, "plan": {"metrics": [{"id": "x", "rule_out": "1.1"}]}}),
        json.dumps({**MANIFEST, "prompt": {"scored": SECRET}}),
        json.dumps({**MANIFEST, "prompt": {"letter": "{question}"}}),
        "[" * 100_000,
        "a: 2026-99-99",
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (tmp_path / "suite.yaml").write_text(text)
    assert refused(tmp_path).facts["file"] == "suite.yaml"


def test_a_number_without_quotes_is_explained(tmp_path: Path) -> None:
    manifest = {**MANIFEST, "plan": {"metrics": [{"id": "x", "rule_out": 0.3}]}}
    assert "in quotes" in str(refused(write(tmp_path, manifest=manifest)))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tasks" / "all.jsonl").write_bytes(b"\xff\xfe")
    assert refused(tmp_path).facts["rule"] == "encoding"


def test_a_missing_manifest_or_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"suite\.yaml cannot be read"):
        load_suite(tmp_path)
    write(tmp_path)
    (tmp_path / "tasks" / "all.jsonl").unlink()
    assert refused(tmp_path).facts["rule"] == "empty"
