"""What a person reads and edits: pages, differences, drafts."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, strategies as st

from attestations.documents.agreement import Terms
from attestations.errors import ConfigurationInvalid
from attestations.negotiation.diff import diff_page, differences
from attestations.negotiation.editing import PARTS, read_draft, write_draft
from attestations.negotiation.lines import formula_text, lines, page
from attestations.negotiation.messages import Rejected
from attestations.negotiation.showing import next_steps, review_page, standing
from tests.support.endpoints import NOW, Endpoint, agreed, body, sides
from tests.support.world_agreement import agreement


def terms(**changes: Any) -> Terms:
    usual = agreement()
    values: dict[str, Any] = {
        "lab": usual.party("lab"),
        "auditor": "auditor.example",
        "gateway": usual.transport.gateway,
        "origin_prefix": "lab.example/safeconduct",
        "variants": usual.variants,
        "scope": usual.scope,
        "budget": usual.budget,
        "access": usual.access,
        "timing": usual.timing,
        "runtime": usual.runtime,
        "policy": usual.policy,
        "issued_at": "2026-11-02T09:00:00Z",
    }
    return Terms(**{**values, **changes})


def test_equal_agreements_do_not_differ() -> None:
    assert differences(agreement(), agreement()) == ()
    assert differences(terms(), agreement()) == ()
    assert diff_page(()) == ["  no differences"]


def test_each_changed_field_is_named_with_before_and_after() -> None:
    found = differences(body(), body(5, access={**body().access.json_value(), "businessDays": "3"}))

    assert [(item.path, item.before, item.after) for item in found] == [
        ("budget.requests", "1000", "1005"),
        ("access.businessDays", "0", "3"),
    ]
    assert diff_page(found) == [
        "  How much may be asked",
        "    requests in all: 1000 -> 1005",
        "  When it may be asked",
        "    business days of access owed: 0 -> 3",
    ]


def test_rules_are_compared_by_their_names() -> None:
    value = agreement().policy.json_value()
    changed = [rule | {"oblige": None} if rule["id"] == "c2-public" else rule for rule in reversed(value["rules"])]
    after = agreement().model_copy(
        update=read_draft(json.dumps({"policy": {"rules": changed[1:]}}).encode(), agreement())
    )

    found = {item.path: (item.before, item.after) for item in differences(agreement(), after)}
    assert found.pop("policy.rules[c2-public].oblige") == ("TIME(anchor+P25BD+hold)", "never")
    assert all(path.startswith("policy.rules[c6-public]") and after is None for path, (_, after) in found.items())
    assert found


def test_terms_leave_open_what_they_do_not_say() -> None:
    offered = agreement(origin="lab.example/other")
    assert differences(terms(), offered) == ()
    paid = agreement(clauses={"funding": "grant"})
    assert [item.path for item in differences(terms(), paid)] == ["clauses.funding"]
    less = terms(budget=agreement().budget.model_copy(update={"crashes": 1}))
    assert [item.path for item in differences(less, offered)] == ["budget.crashes"]


def test_the_page_says_everything_in_the_order_a_person_reads_it() -> None:
    text = page(agreement())
    headings = [line for line in text if line and not line.startswith(" ")]
    assert headings[0] == "Parties and keys"
    assert headings[-1] == "Clauses"
    assert "  rule c2-public, may be released once: RUN_CLOSED and (LAB_CONSENT(C2) or TIME(anchor+P20BD+hold))" in text
    assert len({line.path for line in lines(agreement())}) == len(lines(agreement()))


def test_a_formula_is_one_line() -> None:
    assert formula_text({"or": ["A", {"and": ["B", "C"]}]}) == "A or (B and C)"
    assert formula_text(None) == "never"


def test_a_draft_that_is_not_changed_changes_nothing() -> None:
    text = write_draft(agreement())
    assert set(tomllib.loads(text)) == set(PARTS)
    changes = read_draft(text.encode(), agreement())
    assert agreement().model_copy(update=changes).to_bytes() == agreement().to_bytes()


@given(st.integers(min_value=0, max_value=10**18), st.text(max_size=8))
def test_a_draft_gives_back_what_was_written(requests: int, note: str) -> None:
    given_ = body().model_copy(
        update={
            "budget": body().budget.model_copy(update={"requests": str(requests)}),
            "policy": body().policy.model_copy(update={"protected": ()}),
        }
    )
    assert read_draft((write_draft(given_) + f"# {note.encode().hex()}").encode(), body())["budget"] == given_.budget


@pytest.mark.parametrize(
    ("draft", "named"),
    [
        (b"[parties]\n", "parties cannot be negotiated"),
        (b'origin = "x"\n', "origin cannot be negotiated"),
        (b"[budget]\nrequests = 5\n", "budget.requests"),
        (b'[budget]\nrequest = "5"\n', "unknown field"),
        (b"[scope]\nvariants = ['another']\n", "Agreement"),
        (b"not toml", "neither TOML nor JSON"),
        (b"{", "neither TOML nor JSON"),
        (b"\xff", "neither TOML nor JSON"),
    ],
)
def test_a_draft_that_makes_no_sense_is_refused_in_one_sentence(draft: bytes, named: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=named) as error:
        read_draft(draft, agreement())
    assert "\n" not in error.value.message


def test_names_may_be_written_either_way_and_parts_may_be_left_out() -> None:
    for draft in (b"[scope]\nmax_sessions = 2\n", b'{"scope": {"maxSessions": 2}}'):
        assert read_draft(draft, agreement())["scope"].max_sessions == 2


def test_where_a_negotiation_stands_is_one_sentence_and_names_the_next_commands() -> None:
    auditor, lab = Endpoint("auditor"), Endpoint("lab")
    assert standing(lab.thread, "lab") == "nothing is on the table"
    lab.hear(auditor.offer(body()))
    assert standing(lab.thread, "lab").startswith("their offer is on the table")
    assert next_steps(lab.thread, "lab", "lab {} x") == ["lab accept x", "lab counter --edit FILE x", "lab reject x"]
    assert next_steps(auditor.thread, "auditor", "auditor {}") == ["auditor withdraw"]
    auditor.hear(lab.offer(body(1)))
    shown = review_page(auditor.at(), "auditor", sides(), terms())
    assert "Differences from the lab's terms" in shown
    assert "Changes since the offer before" in shown
    auditor.hear(lab.say(lab.voice.withdraw(lab.thread, NOW)))
    assert "withdrew" in review_page(auditor.at(), "auditor", sides(), None)[1]

    auditor, lab = agreed()
    assert standing(lab.thread, "lab") == "an agreement is in force"
    assert next_steps(lab.thread, "lab", "{}") == ["amend --edit FILE", "terminate"]


def test_words_of_the_other_side_cannot_rewrite_a_terminal() -> None:
    auditor, lab = Endpoint("auditor"), Endpoint("lab")
    lab.hear(auditor.offer(body()))
    auditor.hear(lab.say(lab.voice.reject(lab.thread, "no\x1b[2J", NOW)))
    assert isinstance(auditor.at().entries[-1].message(sides()), Rejected)
    assert "\x1b" not in "".join(review_page(auditor.at(), "auditor", sides(), None))
