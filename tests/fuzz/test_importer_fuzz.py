"""Whatever stands in a source, each importer gives a suite, or one error of ours; never another exception."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.errors import SafeconductError
from auditor_client.suites.importers.candidate import LEFT_OUT
from auditor_client.suites.importers.catalogue import FORMATS
from auditor_client.suites.importers.mapping import parse_mapping
from auditor_client.suites.importers.options import Options
from auditor_client.suites.load import load_suite
from tests.support.import_files import bbq_item, imported

FORMAT = st.sampled_from(sorted(FORMATS))
MAPPING = parse_mapping("question=question,options=a[*],answer=answer,metadata.x=b,category=c")
KEYS = [
    *("question", "answer", "choices", "a", "b", "c", "label", "category", "answer_info", "additional_metadata"),
    *("question_polarity", "context_condition", "context", "examples", "input", "target", "target_scores"),
    *("mc1_targets", "answer_matching_behavior", "answer_not_matching_behavior", "name", "canary", "metrics"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["#### 7", " (A)", "Q?"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=16,
)


def survives(name: str, data: bytes, encoding: str = "utf-8") -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"source{FORMATS[name].suffixes[0]}")
        source.write_bytes(data)
        options = Options(mapping=MAPPING if name == "jsonl" else None)
        try:
            report = imported(name, source, Path(folder, "suite"), options=options, encoding=encoding)
        except SafeconductError as error:
            assert str(error)  # noqa: PT017 - either end is fine
            assert not list(Path(folder).glob(".suite*"))
            return
        assert {place.rule for place in report.left_out} <= LEFT_OUT.keys()
        assert report.kinds.total() == len(load_suite(Path(folder, "suite")).tasks)


@settings(max_examples=60)
@given(FORMAT, st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "cp1252", "mac-roman"]))
def test_any_bytes(name: str, data: bytes, encoding: str) -> None:
    survives(name, data, encoding)


@settings(max_examples=80)
@given(FORMAT, JSON)
def test_any_json(name: str, value: Any) -> None:
    survives(name, (json.dumps(value) + "\n").encode())


@settings(max_examples=60)
@given(st.sampled_from(["examples", "list", "bbq"]), st.sampled_from(KEYS), JSON)
def test_any_value_in_an_item_that_was_fine(shape: str, key: str, value: Any) -> None:
    if shape == "examples":
        item = {"input": "Q?", "target": "a", "target_scores": {"a": 1, "b": 0}, key: value}
        survives(
            "bigbench", json.dumps({"examples": [item, {"input": "R?", "target_scores": {"a": 1, "b": 0}}]}).encode()
        )
    elif shape == "list":
        item = {"question": "Q?", "mc1_targets": {"a": 1, "b": 0}, key: value}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "t.json").write_text(json.dumps([item]))
            try:
                imported("truthfulqa", Path(folder, "t.json"), Path(folder, "suite"))
            except SafeconductError:
                return
    else:
        survives("bbq", json.dumps({**bbq_item(), key: value}).encode())


@settings(max_examples=60)
@given(st.text(alphabet="'\"[]\\, ;\n\tabQ?1\x00\ufeff", max_size=80), st.sampled_from(",;"))
def test_any_cells(text: str, delimiter: str) -> None:
    survives("mmlu", f"question{delimiter}choices{delimiter}answer\n{text}{delimiter}{text}{delimiter}0\n".encode())


@settings(max_examples=100)
@given(st.text(alphabet="question=answer,.[*]|'\"() 01#\n", max_size=60))
def test_any_text_as_a_mapping(text: str) -> None:
    try:
        parse_mapping(text)
    except SafeconductError:
        return
    assert "question" in text


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_empty_source(name: str) -> None:
    survives(name, b"")
