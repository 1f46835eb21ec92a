"""The linter's rules beyond L1, L3, L4 and L9: escrow, no-gag, keys, profile, review; every breach is listed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from attestations.documents.agreement import Agreement, Party, PartyKey
from attestations.documents.base import encode, validated
from attestations.errors import MalformedEnvelope, PolicyUnsatisfiable
from attestations.policy.agreement_rules import lint_agreement, sealed_for_long
from attestations.policy.finding import RULES, refuse
from attestations.policy.formula import parse_formula
from attestations.policy.lint import Proof, lint, lint_policy
from attestations.policy.model import Policy
from attestations.policy.symbolic import Effort, TooLarge
from attestations.policy.terms import terms_of
from attestations.templates.catalogue import TEMPLATES, find
from tests.support import world_agreement
from tests.unit.attestations.policy.study_policy import EXAMPLE
from tests.unit.attestations.policy.test_lint import policy, rule

RECEIVE = PartyKey(use="receive", public=encode(b"\x07" * 1216))


OFFICE = Party(role="regulator", id="office.example", keys=(RECEIVE,))


def example(**changes: Any) -> Policy:
    return validated(Policy, copy.deepcopy(EXAMPLE) | changes)


def broken(given: Policy) -> list[str]:
    return [finding.rule for finding in lint_policy(given)]


def holder(name: str, *keys: PartyKey, role: str = "escrow") -> Party:
    return Party(role=role, id=name, keys=keys)  # type: ignore[arg-type]


def agreed(given: Policy, *others: Party, **clauses: Any) -> Agreement:
    usual = world_agreement.agreement(policy=given)
    changed = usual.clauses.model_copy(update=clauses)
    return usual.model_copy(update={"parties": (*usual.parties, *others), "clauses": changed})


def breaches(given: Agreement) -> list[tuple[str, str | None]]:
    return [(finding.rule, finding.policy_rule) for finding in lint_agreement(given)]


def test_the_studys_example_passes_with_its_holders() -> None:
    """Word for word as protocol study 4.2 has it."""
    assert broken(example()) == []
    parties = (holder("E1", RECEIVE), holder("E2", RECEIVE), OFFICE)
    assert breaches(agreed(example(), *parties)) == []


def test_an_obligation_nobody_else_can_keep_breaks_l2() -> None:
    """T030."""
    ours = policy(rule("RUN_CLOSED", "RUN_CLOSED + P5BD"), escrow=None, escrowReason=None)
    assert broken(ours) == ["L2"]
    with pytest.raises(PolicyUnsatisfiable) as caught:
        lint(ours)
    assert caught.value.facts == {"rule": "L2", "policy_rule": "r"}


def test_commitments_need_no_holder() -> None:
    """Nothing of them is sealed, and both sides hold the log."""
    lint(policy(rule("RUN_CLOSED", "RUN_CLOSED + P5BD", content_class="C1"), escrow=None, escrowReason=None))


@pytest.mark.parametrize("fields", [{"escrow": "none", "escrowReason": None}, {"escrow": None}, {"escrowReason": " "}])
def test_doing_without_escrow_needs_its_reason(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedEnvelope):
        policy(rule("RUN_CLOSED"), **fields)


@pytest.mark.parametrize(
    ("parties", "found"),
    [
        ((), [("L2", "r1"), ("L2", "r2"), ("L2", "r2"), ("L2", "r3"), ("L2", "r4"), ("L2", "r4")]),
        ((holder("E2", RECEIVE),), [("L2", "r1"), ("L2", "r2"), ("L2", "r3"), ("L2", "r4")]),
        (
            (holder("E1", RECEIVE, role="regulator"), holder("E2", RECEIVE)),
            [("L2", "r1"), ("L2", "r3")],
        ),
    ],
)
def test_a_holder_who_is_no_party_or_only_a_regulator_breaks_l2(
    parties: tuple[Party, ...], found: list[tuple[str, str]]
) -> None:
    assert [breach for breach in breaches(agreed(example(), *parties)) if breach[0] == "L2"] == found


@pytest.mark.parametrize("clauses", [{"no_gag": False}, {"safe_harbor": False}])
def test_a_missing_no_gag_or_safe_harbour_clause_breaks_l5(clauses: dict[str, Any]) -> None:
    """T025: as a finding of the linter, not as a document that cannot be read."""
    given = agreed(example(), holder("E1", RECEIVE), holder("E2", RECEIVE), OFFICE, **clauses)
    assert breaches(given) == [("L5", None)]


@pytest.mark.parametrize("clauses", [{}, {"noGag": False, "safeHarbor": True}, {"safeHarbor": True}])
def test_a_deleted_no_gag_clause_is_not_promised(clauses: dict[str, Any]) -> None:
    """T025: what the signed bytes do not say is not promised."""
    value = world_agreement.agreement().json_value() | {"clauses": clauses}
    found = lint_agreement(Agreement.parse(validated(Agreement, value).to_bytes()))
    assert {finding.rule for finding in found} == {"L5"}
    with pytest.raises(PolicyUnsatisfiable) as caught:
        refuse(found)
    assert caught.value.facts["rule"] == "L5"


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"initiators": ["LAB_SAFETY", "REGULATOR"]}, ["L5"]),
        ({"to": ["REGULATOR"]}, ["L5"]),
        ({"to": ["LAB_SAFETY", "REGULATOR", "PUBLIC"]}, ["L4"]),
        ({"to": ["LAB_SAFETY", "REGULATOR", "LAB_ALL"], "classes": ["C9:subset"]}, ["L4"]),
        ({"to": ["LAB_SAFETY", "REGULATOR", "LAB_ALL"], "classes": ["C4"]}, []),
        ({"to": ["LAB_SAFETY", "REGULATOR", "CLEARED(bio)"], "classes": ["C7", "C9:subset"]}, ["L4"]),
        ({"to": ["LAB_SAFETY", "REGULATOR", "CLEARED(bio)"], "classes": ["C7"]}, []),
        ({"review": "P11BD"}, ["L10"]),
    ],
)
def test_the_emergency_path_neither_gags_nor_leaks(change: dict[str, Any], rules: list[str]) -> None:
    assert broken(example(emergency=EXAMPLE["emergency"] | change)) == rules


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"twoKey": ["AUDITOR"]}, [("L11", None)]),
        ({"twoKey": ["AUDITOR", "AUDITOR"]}, [("L11", None)]),
        ({"twoKey": []}, [("L11", "r5")]),
        ({"twoKey": ["LAB_SAFETY", "AUDITOR"]}, []),
        ({"to": ["LAB_SAFETY", "REGULATOR", "ESCROW(e1)"]}, [("L11", None)]),
    ],
)
def test_an_emergency_section_that_cannot_work_breaks_l11(change: dict[str, Any], found: list[Any]) -> None:
    given = example(emergency=EXAMPLE["emergency"] | change)
    assert [(finding.rule, finding.policy_rule) for finding in lint_policy(given)] == found


def test_a_rule_that_waits_for_an_emergency_is_for_somebody_one_reaches() -> None:
    """L11: whether or not the policy has a section on emergencies."""
    waits = {"or": ["EMERGENCY(*)", "TIME(anchor+P20BD)"]}
    for to in ("PUBLIC", "LAB_ALL", "ESCROW(e1)"):
        assert broken(policy(rule(waits, to=to))) == ["L11"]
    told = EXAMPLE["emergency"] | {"to": ["LAB_SAFETY", "REGULATOR", "LAB_ALL"], "classes": ["C3"]}
    assert broken(policy(rule(waits, to="LAB_ALL"), emergency=told)) == []


def test_a_second_key_that_nobody_has_breaks_l11() -> None:
    given = agreed(example(), holder("E1", RECEIVE), holder("E2", RECEIVE))
    assert breaches(given) == [("L11", "r5")]
    ours = example(emergency=EXAMPLE["emergency"] | {"twoKey": ["AUDITOR", "LAB_SAFETY"]})
    assert breaches(agreed(ours, holder("E1", RECEIVE), holder("E2", RECEIVE))) == []


def test_what_is_sealed_for_over_a_year_needs_post_quantum_keys() -> None:
    """L7: the fifth class may wait 365 days and a hold, the ninth for ever."""
    assert sealed_for_long(example()) == ("C5", "C9")
    cleared = Party(role="recipient", id="bio.example", keys=(), group="bio")
    given = agreed(example(), holder("E1"), holder("E2", RECEIVE), cleared)
    assert [breach for breach in breaches(given) if breach[0] == "L7"] == [("L7", "r4"), ("L7", "r5")]


@pytest.mark.parametrize(
    ("permit", "long"),
    [
        ("RUN_CLOSED + P365D", False),
        ("RUN_CLOSED + P366D", True),
        ("TIME(anchor+P349D+hold)", True),  # ten business days over Christmas 2026 may take 17
        ("TIME(anchor+P348D+hold)", False),
        ("ORDER(*)", True),
        ({"or": ["ORDER(*)", "DELIVERED + P10BD"]}, False),
    ],
)
def test_a_year_is_counted_to_the_day_in_the_slowest_calendar(permit: Any, long: bool) -> None:  # noqa: FBT001
    assert (sealed_for_long(policy(rule(permit, content_class="C9", to="CLEARED(bio)"))) == ("C9",)) is long


@pytest.mark.parametrize(
    ("content_class", "permit", "hold"),
    [
        ("C2", {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P60BD)"]}, "P0BD"),
        ("C2", {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P20BD+hold)"]}, "P11BD"),
        ("C3", "RUN_CLOSED + P31BD", "P0BD"),
        ("C2", {"and": ["RUN_CLOSED", {"or": ["MARKET_PLACEMENT", "RUN_CLOSED + P45D"]}]}, "P0BD"),
        ("C5", {"and": ["TIME(anchor+P180D)", {"or": ["LAB_CONSENT(C5)", "TIME(anchor+P365D)"]}]}, "P0BD"),
        ("C5", "TIME(anchor+P180D+hold)", "P31BD"),
    ],
)
def test_a_block_of_more_than_thirty_business_days_breaks_l8(content_class: str, permit: Any, hold: str) -> None:
    """T026."""
    ours = policy(rule(permit, content_class=content_class), profile="eu-gpai-cop", maxHold=hold)
    assert broken(ours) == ["L8"]
    assert broken(policy(rule(permit, content_class=content_class), maxHold=hold)) == []


@pytest.mark.parametrize(
    ("content_class", "permit", "hold"),
    [
        ("C2", {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P20BD+hold)"]}, "P10BD"),
        ("C3", "RUN_CLOSED + P30BD", "P0BD"),
        ("C5", "TIME(anchor+P180D+hold)", "P30BD"),
        ("C5", EXAMPLE["rules"][3]["permit"], "P10BD"),
        ("C2", {"and": ["RUN_CLOSED", {"or": ["AUDITOR_CONSENT(C2)", "RUN_CLOSED + P30BD"]}]}, "P0BD"),
    ],
)
def test_what_protects_the_suite_or_keeps_the_bound_keeps_l8(content_class: str, permit: Any, hold: str) -> None:
    assert broken(policy(rule(permit, content_class=content_class), profile="eu-gpai-cop", maxHold=hold)) == []


@pytest.mark.parametrize(
    ("regulator", "rules"),
    [
        (None, ["L8"]),
        (rule("RUN_CLOSED", content_class="C2", to="REGULATOR") | {"id": "told"}, ["L8"]),
        (rule("RUN_CLOSED", "RUN_CLOSED + P31BD", content_class="C2", to="REGULATOR") | {"id": "told"}, ["L8"]),
        (rule("RUN_CLOSED", "RUN_CLOSED + P5BD", content_class="C2", to="REGULATOR") | {"id": "told"}, []),
    ],
)
def test_an_exception_holds_only_when_the_regulator_is_told(regulator: dict[str, Any] | None, rules: list[str]) -> None:
    late = rule("RUN_CLOSED + P60BD", content_class="C2") | {"exceptional": "A grave flaw in live infrastructure."}
    given = [late] if regulator is None else [late, regulator]
    assert broken(policy(*given, profile="eu-gpai-cop")) == rules


@pytest.mark.parametrize(("review", "rules"), [("P30BD", []), ("P31BD", ["L10"]), ("P30D", []), ("P31D", ["L10"])])
def test_a_review_without_a_near_end_breaks_l10(review: str, rules: list[str]) -> None:
    assert broken(policy(rule("RUN_CLOSED", content_class="C2", to="REGULATOR"), minReview=review)) == rules


def test_publication_by_approval_is_a_veto() -> None:
    given = agreed(example(), holder("E1", RECEIVE), holder("E2", RECEIVE), OFFICE, publication_control="approval")
    assert breaches(given) == [("L10", None)]


def test_every_breach_is_listed_in_the_order_of_the_rules() -> None:
    given = policy(
        rule("LAB_CONSENT(C9)", "RUN_CLOSED", content_class="C9") | {"id": "a"},
        rule("LAB_CONSENT(C3)", content_class="C3") | {"id": "b"},
        maxHold="P10D",
        escrow=None,
        escrowReason=None,
    )
    found = [(finding.rule, finding.policy_rule) for finding in lint_policy(given)]
    assert found == [("L1", "a"), ("L2", "a"), ("L3", "b"), ("L4", "a"), ("L6", None)]
    assert all(finding.reason and finding.rule in RULES for finding in lint_policy(given))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
@pytest.mark.parametrize("escrow", [(), ("notary", "university")])
def test_every_template_passes_with_and_without_holders(template: Any, escrow: tuple[str, ...]) -> None:
    terms = find(template.name).terms(escrow)
    assert broken(terms.policy) == []
    assert (terms.policy.escrow == "none") is not bool(escrow)
    others = [OFFICE, *(holder(name, RECEIVE) for name in escrow)]
    given = agreed(terms.policy, *others).model_copy(update={"clauses": terms.clauses})
    assert breaches(given) == []
    assert {words.clause for words in terms.clauses.wording} >= {"nogag", "safeharbor", "training", "retention"}


@pytest.mark.parametrize(
    ("permit", "hold"),
    [("TIME(anchor+P9999BD)", "P0BD"), ("RUN_CLOSED + P3653D", "P0BD"), ("TIME(anchor+P5BD+hold)", "P9999BD")],
)
def test_later_than_ten_years_is_never(permit: str, hold: str) -> None:
    """T029: a veto does not become a date by being written as one, nor by being called a hold."""
    assert broken(policy(rule(permit), maxHold=hold)) == ["L3"]
    assert broken(policy(rule("TIME(anchor+P5BD+hold)"), maxHold="P30BD")) == []


def test_an_instant_ten_years_after_the_agreement_is_never() -> None:
    """T029."""
    assert breaches(agreed(policy(rule("TIME(2999-12-31T00:00:00Z)"))))[0][0] == "L3"
    assert ("L3", "r1") not in breaches(agreed(policy(rule("TIME(2027-12-31T00:00:00Z)"))))


def test_a_small_policy_that_takes_hours_to_judge_is_refused() -> None:
    """An auditor that is admitted writes it, and the gateway judges it."""
    names = [f"ORDER(x{number})" for number in range(24)]
    obliges = {"and": [*({"or": names[place : place + 2]} for place in range(0, 24, 2)), "RUN_CLOSED"]}
    permits = {"or": [*({"and": [f"ORDER(y{n})", f"ORDER(z{n})"]} for n in range(12)), "RUN_CLOSED"]}
    assert "L1" in broken(policy(rule(permits, obliges)))


def test_many_rules_share_one_effort() -> None:
    names = [f"ORDER(x{number})" for number in range(14)]
    obliges = {"and": [*({"or": names[place : place + 2]} for place in range(0, 14, 2)), "RUN_CLOSED"]}
    permits = {"or": [*({"and": [f"ORDER(y{n})", f"ORDER(z{n})"]} for n in range(7)), "RUN_CLOSED"]}
    proof = Proof(policy(rule("RUN_CLOSED")), effort=Effort(3 * 128 * 128))
    asked = [terms_of(policy(rule("RUN_CLOSED")), parse_formula(formula)) for formula in (obliges, permits)]
    for _ in range(3):
        assert proof.refute(*asked) is None
    with pytest.raises(TooLarge):
        proof.refute(*asked)
