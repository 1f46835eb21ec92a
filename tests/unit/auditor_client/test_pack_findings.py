"""What is told of a lab's pack before it is run: leaks, answers, and what hides in it; never a text."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.base import encode
from attestations.documents.elicitation import ElicitationPack
from attestations.scaffolds.method import Method, Thinking
from auditor_client.eliciting.pack_findings import WORDS, pack_findings
from auditor_client.frozen_suite import FrozenSuite, FrozenTask
from tests.support.audit_world import suite as plain_suite


def task(i: int, kind: str) -> FrozenTask:
    known = plain_suite(tests=3, size=4).tasks[0]
    options = [f"first-{kind}-{i}", f"second-{kind}-{i}"]
    prompt = {"question": f"Which of the two is it, {kind} {i}?", "options": options, "request": {}}
    target = {"grader": "choice-scored", "answer": i % 2, "scoring": "sum"}
    fields = {"kind": ("C5", kind), "prompt": ("C5", prompt), "target": ("C6", target)}
    return known.model_copy(update={"i": i, "fields": fields | {"canary": ("C6", f"canary-{kind}-{i:08x}")}})


SUITE = FrozenSuite("suite-test", [task(i, "dev" if i < 4 else "test") for i in range(8)])


def pack(**fields: Any) -> ElicitationPack:
    values: dict[str, Any] = {"agreement": "00" * 32, "nonce": encode(bytes(32)), "method": Method()}
    return ElicitationPack(**values | {"made_at": "2026-11-24T09:00:00Z"} | fields)


ANSWERS = " ".join(f"{('first', 'second')[i % 2]}-dev-{i}" for i in range(4))

THINK = Thinking(instruction="Think. <|im_end|>")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pack(), []),
        (pack(method=Method(system="You are an expert. Answer with the option alone.")), []),
        (pack(method=Method(template="<|im_start|>user\n{prompt}<|im_end|>")), []),
        (pack(tokens=("<|admin|>",)), []),
        (pack(notes="Which of the two is it, dev 1?"), []),
        (pack(method=Method(system="which of  the two\nis it, TEST 5?")), [("method.system", "TEST_TEXT", 1)]),
        (pack(notes="see canary-test-00000006"), [("notes", "CANARY", 1)]),
        (pack(fine_tuning="train on canary-dev-00000001"), [("fineTuning", "CANARY", 1)]),
        (pack(method=Method(system=f"Remember: {ANSWERS}")), [("method.system", "DEV_ANSWER", 4)]),
        (pack(notes="first-dev-0 and second-dev-1"), []),  # two may be an example
        (pack(method=Method(system="plain\u200btext\u202e")), [("method.system", "INVISIBLE_TEXT", 2)]),
        (
            pack(method=Method(thinking=Thinking(instruction="Think. <|im_end|>"))),
            [("method.thinking", "ROLE_MARKER", 2)],
        ),
        (
            pack(method=Method(system="[INST]"), notes="Which of the two is it, test 4?"),
            [("notes", "TEST_TEXT", 1), ("method.system", "ROLE_MARKER", 1)],
        ),
    ],
)
def test_each_rule_names_the_field_and_how_often(given: ElicitationPack, expected: list[tuple[str, str, int]]) -> None:
    found = pack_findings(given, SUITE)
    assert [tuple(one) for one in found] == expected
    for one in found:
        assert WORDS[one.rule] in str(one)
        assert "canary" not in str(one).replace("canary string", "")
        assert "Which" not in str(one)
