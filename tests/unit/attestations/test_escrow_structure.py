"""The access structure: what may be agreed, who can open, and what is left when holders are lost."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest

from attestations.documents.agreement import Agreement
from attestations.documents.base import encode, validated
from attestations.envelope import Envelope, Signature
from attestations.errors import EscrowQuorumUnmet, MalformedEnvelope, PolicyUnsatisfiable
from attestations.escrow.dealing import branches_for, check_escrow, check_manifest, escrowed_classes, put_in_escrow
from attestations.escrow.structure import Branch, Escrow
from attestations.log_entries import MAX_LEAF_BYTES, LogEntry
from tests.support import world_escrow
from tests.support.fixed_keys import suite_key
from tests.support.world_escrow import HOLDERS, REGULATOR, STRUCTURE, agreement, randomness


def structure(*branches: Any) -> Escrow:
    return validated(Escrow, {"branches": list(branches)})


def branch(*groups: tuple[int, list[str]], name: str = "b", **more: Any) -> dict[str, Any]:
    return {"id": name, "groups": [{"need": need, "of": of} for need, of in groups], **more}


def opens(branch: Branch, people: frozenset[str]) -> bool:
    return all(len(people & set(group.of)) >= group.need for group in branch.groups)


def test_the_usual_structure_is_opened_by_exactly_its_quorums() -> None:
    """T104, I8: of every set of holders, those open that the structure names; the regulator alone is none of them."""
    escrow = validated(Escrow, STRUCTURE)
    everyone = chain.from_iterable(combinations(HOLDERS, size) for size in range(len(HOLDERS) + 1))
    able = {people for people in map(frozenset, everyone) if any(opens(item, people) for item in escrow.branches)}

    assert frozenset({REGULATOR}) not in able
    assert not any(len(people) < 2 for people in able)
    smallest = {people for people in able if not any(other < people for other in able)}
    assert smallest == {
        frozenset({REGULATOR, "t1"}),
        frozenset({REGULATOR, "t2"}),
        *(frozenset(pair) for pair in combinations(("t1", "t2", "t3"), 2)),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        branch((1, ["a"])),
        branch((1, ["a", "b"])),
        branch((1, ["a"]), (1, ["a", "b"])),
        branch((2, ["a"])),
        branch((0, ["a", "b"])),
        branch((2, ["a", "a"])),
        branch((2, ["a", "b"]), opens=[]),
        branch((2, ["a", "b"]), opens=["whim"]),
        branch((2, ["a", "b"]), graceDays=-1),
        branch((2, ["a", "b"]), more=1),
        branch(),
    ],
    ids=str,
)
def test_a_structure_in_which_one_could_open_alone_or_nobody_at_all_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedEnvelope if "more" not in wrong else Exception):
        structure(wrong)


def test_a_party_in_an_and_counts_in_each_group() -> None:
    both = structure(branch((1, ["a"]), (2, ["a", "b", "c"])))

    assert opens(both.branches[0], frozenset({"a", "b"}))
    assert not opens(both.branches[0], frozenset({"b", "c"}))


def test_two_branches_of_one_name_and_too_many_shares_are_refused() -> None:
    pair = branch((2, ["a", "b"]))
    many = [branch((2, [f"h{n}" for n in range(13)]), name=name) for name in ("x", "y")]
    for wrong in ([pair, pair], many):
        with pytest.raises(MalformedEnvelope):
            structure(*wrong)


def test_losing_holders_never_lets_anyone_open_who_could_not_before() -> None:
    escrow = validated(Escrow, STRUCTURE)
    for lost in chain.from_iterable(combinations(HOLDERS, size) for size in range(1, 4)):
        left = escrow.without(frozenset(lost))
        if left is None:
            continue
        for people in map(frozenset, combinations(HOLDERS, 2)):
            if any(opens(item, people) for item in left.branches):
                assert any(opens(item, people) for item in escrow.branches)
                assert not people & set(lost)


def test_nobody_is_left_when_too_many_are_lost() -> None:
    escrow = validated(Escrow, STRUCTURE)

    assert escrow.without(frozenset({"t1", "t2", "t3"})) is None
    only = escrow.without(frozenset({REGULATOR}))
    assert only is not None
    assert [item.id for item in only.branches] == ["trustees"]


def test_only_what_is_owed_is_in_escrow() -> None:
    assert escrowed_classes(agreement()) == ("C2", "C3")


def test_the_usual_agreement_can_be_carried_out() -> None:
    check_escrow(agreement())


def test_a_holder_must_be_a_party_that_holds_shares() -> None:
    for names in (["lab.example", "t1"], ["auditor.example", "t1"], ["nobody", "t1"]):
        with pytest.raises(MalformedEnvelope):
            agreement(structure={"branches": [branch((2, names))]})


def without_key(use: str, party: str) -> Agreement:
    value = agreement().json_value()
    for item in value["parties"]:
        if item["id"] == party:
            item["keys"] = [key for key in item["keys"] if key["use"] != use]
    return validated(Agreement, value)


@pytest.mark.parametrize(("use", "party"), [("receive", "t3"), ("agreement", "t3"), ("receive", REGULATOR)])
def test_a_holder_or_recipient_without_its_key_is_found_before_signing(use: str, party: str) -> None:
    with pytest.raises(PolicyUnsatisfiable) as caught:
        check_escrow(without_key(use, party))
    assert caught.value.facts["rule"] == "L2"


def test_an_obligation_that_no_branch_serves_is_found_before_signing() -> None:
    orders = {"branches": [branch((2, ["t1", "t2"]), opens=["order"])]}
    with pytest.raises(PolicyUnsatisfiable):
        check_escrow(agreement(structure=orders))


def test_a_rule_may_name_branches_or_holders() -> None:
    escrow = validated(Escrow, STRUCTURE)
    rule = agreement().policy.rules[0]
    for named, expected in (
        ((), ["assisted", "trustees"]),
        (("trustees",), ["trustees"]),
        (("t3",), ["trustees"]),
        (("t1",), ["assisted", "trustees"]),
        (("nobody",), []),
    ):
        found = branches_for(escrow, rule.model_copy(update={"escrow": named}))
        assert [item.id for item in found] == expected


def test_the_largest_dealing_fits_one_leaf_of_the_log() -> None:
    names = [f"{'h' * 120}{n:02d}" for n in range(12)]
    value = world_escrow.agreement().json_value()
    value["parties"] = value["parties"][:2] + [
        {**world_escrow.holder("t1").json_value(), "id": name} for name in [*names, REGULATOR]
    ]
    for party in value["parties"]:
        if party["id"] == REGULATOR:
            party["role"] = "regulator"
    branches = [branch((12, names), name=name * 120) for name in ("x", "y")]
    agreed = validated(Agreement, {**value, "escrow": {"branches": branches}})
    document = put_in_escrow(
        agreed,
        suite_key().class_key("C2"),
        digest="0a" * 32,
        made_at="2026-11-02T09:00:00Z",
        randomness=randomness("m"),
    )
    check_manifest(agreed, document)
    signature = (Signature("k" * 44, bytes(72)),)
    envelope = Envelope(document.payload_type, document.to_bytes(), signature)
    receipt = Envelope("application/x", bytes(400), signature)

    assert len(LogEntry("escrow", (envelope, receipt)).to_bytes()) <= MAX_LEAF_BYTES


def test_a_dealing_of_another_structure_is_refused() -> None:
    agreed = agreement()
    made = put_in_escrow(
        agreed,
        suite_key().class_key("C2"),
        digest="0a" * 32,
        made_at="2026-11-02T09:00:00Z",
        randomness=randomness("m"),
    )
    check_manifest(agreed, made)
    first, second = made.branches
    swapped = first.groups[1].model_copy(update={"shares": first.groups[1].shares[::-1]})
    wrong = [
        made.model_copy(update={"branches": (second, first)}),
        made.model_copy(update={"branches": (first,)}),
        made.model_copy(update={"branches": (first.model_copy(update={"groups": (first.groups[0], swapped)}), second)}),
        made.model_copy(update={"branches": (first.model_copy(update={"wrapped": encode(bytes(32))}), second)}),
        made.model_copy(update={"content_class": "C7"}),
        made.model_copy(update={"without": ("t3",)}),
    ]
    for manifest in wrong:
        with pytest.raises(MalformedEnvelope):
            check_manifest(agreed, manifest)
    with pytest.raises(EscrowQuorumUnmet):
        check_manifest(agreed, made.model_copy(update={"without": ("t1", "t2", "t3"), "supersedes": "0b" * 32}))
