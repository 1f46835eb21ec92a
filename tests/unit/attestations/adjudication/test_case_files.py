"""A case file has one form, and what is not of it is refused before anything is judged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attestations.adjudication.case import MAX_DOCUMENTS, parse_case
from attestations.canonical import canonical_bytes
from attestations.documents.agreement import Agreement
from attestations.documents.dispute import RelayReceipt
from attestations.errors import (
    MalformedEnvelope,
    NonCanonicalDocument,
    SafeconductError,
    SizeLimitExceeded,
    UnknownCriticalField,
    UnsupportedVersion,
)
from tests.support.dispute import RELAY, Desk, agreement, fork_of
from tests.support.world_agreement import agreement as usual_agreement

DESK = Desk()
CASE = DESK.case(
    DESK.intent(4),
    DESK.grant(),
    checkpoints=[DESK.checkpoint([b"a"]), DESK.checkpoint([b"b", b"c"])],
    forks=[fork_of([b"a"], [b"b", b"c"])],
    claims=[("auditor", "SEQUENCE_EQUIVOCATION", DESK.intent(4)), ("lab", "LOG_EQUIVOCATION", None)],
)


def changed(**fields: Any) -> bytes:
    return canonical_bytes(json.loads(CASE.to_bytes()) | fields)


def test_a_case_is_read_as_it_was_written() -> None:
    assert CASE.to_bytes() == parse_case(CASE.to_bytes()).to_bytes()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedEnvelope),
        (b"[]", MalformedEnvelope),
        (CASE.to_bytes() + b"\n", NonCanonicalDocument),
        (changed(v="safeconduct-case/v2"), UnsupportedVersion),
        (changed(more=1), MalformedEnvelope),
        (changed(documents={}), MalformedEnvelope),
        (changed(documents=[{}]), MalformedEnvelope),
        (changed(documents=[{}] * (MAX_DOCUMENTS + 1)), SizeLimitExceeded),
        (changed(agreement=None), MalformedEnvelope),
        (changed(checkpoints=[7]), MalformedEnvelope),
        (changed(claims=[{"against": "relay", "reason": "UNANSWERED", "about": None}]), MalformedEnvelope),
        (changed(claims=[{"against": "lab", "reason": "say anything", "about": None}]), MalformedEnvelope),
        (changed(claims=[{"against": "lab", "reason": "UNANSWERED", "about": None, "x": 1}]), UnknownCriticalField),
        (changed(forks=[{"older": -1, "newer": 0, "prefixRoot": "ab" * 32, "proof": []}]), MalformedEnvelope),
    ],
)
def test_what_is_no_case_is_refused(data: bytes, error: type[SafeconductError]) -> None:
    with pytest.raises(error):
        parse_case(data)


def test_an_agreement_names_at_most_one_relay_and_a_time_to_answer_it() -> None:
    value = agreement().json_value()
    relay = next(party for party in value["parties"] if party["role"] == "relay")
    for wrong in (
        value | {"parties": [*value["parties"], relay | {"id": "another.example"}]},
        value | {"timing": {name: item for name, item in value["timing"].items() if name != "relaySeconds"}},
        value | {"timing": value["timing"] | {"relaySeconds": 59}},
    ):
        with pytest.raises(MalformedEnvelope):
            Agreement.parse(canonical_bytes(wrong))
    assert agreement().relay_key() is not None
    assert Agreement.parse(agreement().to_bytes()).parties[-1].id == RELAY


def test_an_agreement_without_a_relay_has_the_bytes_it_always_had() -> None:
    assert b"relay" not in usual_agreement().to_bytes()
    assert usual_agreement().relay_key() is None


@pytest.mark.parametrize(
    "times",
    [
        {"putAt": "2026-11-03T10:00:00Z"},
        {"signedAt": "2026-11-03T09:30:00Z"},
        {"signedAt": "2026-11-03T08:00:00Z", "answer": "ab" * 32},
    ],
)
def test_a_relay_says_nothing_before_it_has_waited(times: dict[str, str]) -> None:
    value = {
        "v": "safeconduct/v1",
        "agreement": "ab" * 32,
        "put": "cd" * 32,
        "putAt": "2026-11-03T09:00:00Z",
        "until": "2026-11-03T10:00:00Z",
        "answer": None,
        "signedAt": "2026-11-03T10:00:00Z",
    }
    RelayReceipt.parse(canonical_bytes(value))
    with pytest.raises(MalformedEnvelope):
        RelayReceipt.parse(canonical_bytes(value | times))
