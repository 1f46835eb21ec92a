"""Whatever stands in a suite's files, reading them gives a suite or an error of ours."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st

from attestations.canonical import canonical_bytes
from attestations.errors import SafeconductError, SuiteInvalid
from auditor_client.suites.drafting import fields
from auditor_client.suites.load import parse_manifest, parse_tasks
from auditor_client.suites.manifest import PromptFormat
from auditor_client.suites.requests import build_request
from tests.support.suite_files import BODIES, MANIFEST, task

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS = sorted({key for body in BODIES.values() for key in body})


@given(st.binary(max_size=200))
def test_any_bytes_as_a_manifest(data: bytes) -> None:
    try:
        parse_manifest(data)
    except SuiteInvalid:
        return
    raise AssertionError("random bytes are no manifest")


@given(st.binary(max_size=200))
def test_any_bytes_as_tasks(data: bytes) -> None:
    try:
        found = list(parse_tasks(data, file="any.jsonl"))
    except SuiteInvalid:
        return
    assert found == []


@given(st.text(alphabet="{}[]:,-&*!|>#'\"\n ab0?%@`~\\", max_size=60))
def test_any_text_like_yaml_as_a_manifest(text: str) -> None:
    try:
        parse_manifest(text.encode())
    except SuiteInvalid:
        return
    raise AssertionError("this is no manifest")


@given(st.sampled_from(sorted(MANIFEST)), JSON)
def test_any_value_in_a_manifest(key: str, value: Any) -> None:
    try:
        parse_manifest(json.dumps({**MANIFEST, key: value}).encode())
    except SuiteInvalid as error:
        assert error.facts["file"] == "suite.yaml"  # noqa: PT017 - either end is fine


@given(st.sampled_from(sorted(BODIES)), st.sampled_from(KEYS), JSON)
def test_any_value_in_a_task_is_refused_or_can_be_committed_to(body: str, key: str, value: Any) -> None:
    line = {**task("x"), "task": {**BODIES[body], key: value}}
    try:
        [(_, read)] = parse_tasks(json.dumps(line).encode(), file="x.jsonl")
    except SafeconductError as error:
        assert isinstance(error, SuiteInvalid)  # noqa: PT017
        return
    for _, committed in fields(read, build_request(read, PromptFormat())).values():
        canonical_bytes(committed)
