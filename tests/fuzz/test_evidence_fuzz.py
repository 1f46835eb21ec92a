"""Any bytes into any parser of evidence give a value or our error, and any file a report."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.canonical import canonical_bytes
from attestations.errors import ExitCode, SafeconductError
from attestations.verify.engine import Request, verify_path
from tests.fuzz.fuzz_target import (
    corpus,
    documents,
    evidence,
    mutated,
    mutated_evidence,
    parsers,
    run_parsers,
    run_verifier,
)
from tests.support.world import packed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=12), parts, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_give_a_value_or_our_error(data: bytes) -> None:
    run_parsers(data)


@given(JSON)
@settings(max_examples=200)
def test_any_json_gives_a_value_or_our_error(value: Any) -> None:
    run_parsers(json.dumps(value).encode())


@given(st.integers(0, 2**32))
@settings(max_examples=300)
def test_mutated_evidence_gives_a_value_or_our_error(seed: int) -> None:
    run_parsers(mutated(random.Random(seed)))


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_an_archive_with_a_mutated_member_gives_a_report(seed: int) -> None:
    data = mutated_evidence(random.Random(seed))
    if data != packed(evidence()):
        assert run_verifier(data) is not ExitCode.OK


@given(st.binary(max_size=2000))
@settings(max_examples=60)
def test_any_bytes_as_an_evidence_file_give_a_report(data: bytes) -> None:
    assert run_verifier(data) is not ExitCode.OK


@pytest.mark.parametrize("kind", documents(), ids=lambda kind: kind.__name__)
def test_a_document_of_any_other_shape_is_refused_without_its_content(kind: Any) -> None:
    names = [field.alias or name for name, field in kind.model_fields.items()]
    values: tuple[Any, ...] = (None, 7, "secret-canary", [], {"secret-canary": "secret-canary"}, True)
    for value in values:
        for name in names:
            with pytest.raises(SafeconductError) as caught:
                kind.parse(canonical_bytes({"v": "safeconduct/v1"} | {name: value, "secret-canary": "x"}))
            assert "secret-canary" not in f"{caught.value.message} {caught.value.facts}"


def test_what_is_real_is_read_by_its_own_parser() -> None:
    """The corpus reaches every parser: otherwise fuzzing would only scratch at the door."""
    read = set()
    for data in corpus():
        for name, parse in parsers().items():
            try:
                parse(data)
            except SafeconductError:
                continue
            read.add(name)
    missing = set(parsers()) - read - {"identity"}
    not_in_evidence = {kind.__name__ for kind in documents()} & missing
    assert missing == not_in_evidence


def test_the_trust_files_parser_takes_depth_and_size() -> None:
    for data in (b"[" * 200_000, b'{"a":' * 100_000, b" " * (2 << 20), "\ud800".encode("utf-8", "surrogatepass")):
        for name in ("trust", "identity"):
            with pytest.raises(SafeconductError):
                parsers()[name](data)


def test_every_report_of_an_altered_file_can_be_printed_as_json() -> None:
    from io import BytesIO

    from tests.support.world_agreement import trust

    source = random.Random(7)
    for _ in range(20):
        report = verify_path(BytesIO(mutated_evidence(source)), trust(), Request())
        assert json.loads(json.dumps(report.to_json()))["v"] == "safeconduct-report/v1"
