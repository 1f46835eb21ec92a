"""Vectors for adjudication: whole cases of signed documents, each with the verdict over it."""

from __future__ import annotations

import json
from typing import Any

from attestations.adjudication.case import Case
from attestations.adjudication.judging import adjudicate
from attestations.adjudication.verdict import Verdict
from tests.support import world_agreement
from tests.support.dispute import Desk, fork_of
from tests.support.world_agreement import keys
from tests.vectors.families import write


def _cases() -> dict[str, Case]:
    desk = Desk()
    intent = desk.intent(7)
    promise = desk.promise(intent, 2)
    records = [desk.record(promise, 3), desk.record(promise, 4, code="BACKEND_STALLED")]
    older, newer = [b"a", b"b", b"c"], [b"a", b"x", b"c", b"d", b"e"]
    return {
        "T047 two Intents for one place": desk.case(intent, desk.intent(7, label="other")),
        "T053 no answer, no relay": Desk(relay=False).case(
            Desk(relay=False).intent(7), claims=[("lab", "UNANSWERED", Desk(relay=False).intent(7))]
        ),
        "T054 no answer through the relay": desk.case(intent, desk.receipt(intent)),
        "T055 no Record through the relay": desk.case(promise, desk.receipt(promise)),
        "T056 two Records of one Promise": desk.case(promise, *records),
        "T064 a log that forks": desk.case(
            checkpoints=[desk.checkpoint(older), desk.checkpoint(newer)], forks=[fork_of(older, newer)]
        ),
        "T072 a false denial": desk.case(intent, desk.denial(intent, keys().agreement)),
        "T073 a complaint nobody signed": desk.case(
            desk.promise(intent, 2, by=keys().exchange), claims=[("lab", "PROMISE_UNFULFILLED", promise)]
        ),
    }


def published(verdict: Verdict) -> Any:
    """Return what of a verdict is part of the protocol: everything but its sentences."""
    value = verdict.to_json()
    del value["notProven"]
    for item in value["findings"]:
        del item["sentence"]
    for item in value["setAside"]:
        del item["message"]
    return value


def generate() -> Any:
    """Return the vectors."""
    trust = world_agreement.trust()
    return {
        "trust": trust.json_value(),
        "cases": {
            name: {"case": json.loads(case.to_bytes()), "verdict": published(adjudicate(case, trust))}
            for name, case in _cases().items()
        },
    }


if __name__ == "__main__":
    write("adjudication", generate())
