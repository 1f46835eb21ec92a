"""The predicate as in-toto asks: unknown fields are ignored, known ones are strict, names are camelCase."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.errors import MalformedEnvelope
from attestations.predicate import Controls, Result

RESULT: dict[str, Any] = {
    "id": "overall",
    "class": "C2",
    "category": None,
    "arm": "as_shipped",
    "direction": "riskIncreasing",
    "n": "2",
    "outcomes": dict.fromkeys(("refused", "invalid", "empty", "truncated", "error"), "0")
    | {"correct": "1", "incorrect": "1"},
    "answered": "1",
    "value": "0.5",
    "interval": ["0.1", "0.9"],
    "level": "0.95",
    "ruleOut": None,
    "ruleIn": None,
    "verdict": "inconclusive",
}


def test_what_is_read_is_written_again() -> None:
    assert validated(Result, RESULT).model_dump(mode="json", by_alias=True) == RESULT


def test_fields_of_a_later_version_are_ignored() -> None:
    assert validated(Result, RESULT | {"shiny": True}) == validated(Result, RESULT)


@pytest.mark.parametrize("field", sorted(RESULT))
def test_leaving_a_field_out_never_strengthens_a_claim(field: str) -> None:
    with pytest.raises(MalformedEnvelope):
        validated(Result, {name: value for name, value in RESULT.items() if name != field})


@pytest.mark.parametrize(("field", "bad"), [("n", 2), ("value", 0.5), ("verdict", "safe"), ("class", "C7")])
def test_a_value_of_the_wrong_kind_is_refused(field: str, bad: Any) -> None:
    with pytest.raises(MalformedEnvelope):
        validated(Result, RESULT | {field: bad})


def test_controls_say_whether_they_passed() -> None:
    value = {
        "positivePassed": "1",
        "positiveN": "2",
        "positiveBound": "0.5",
        "positiveOk": True,
        "negativePassed": "0",
        "negativeN": "0",
    }
    assert validated(Controls, value).positive_ok
