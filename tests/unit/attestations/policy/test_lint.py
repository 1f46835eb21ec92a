"""The linter: a policy that breaks a rule is refused by the rule's name before anyone signs it."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.errors import MalformedEnvelope, PolicyUnsatisfiable
from attestations.policy.defaults import standard_policy
from attestations.policy.lint import lint, lint_policy
from attestations.policy.model import Policy

# The example of the protocol study (4.2), with C1 for the public as well and without its holders.
STUDY: list[dict[str, Any]] = [
    {"id": "r0", "class": "C1", "to": "PUBLIC", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P5BD"},
    {"id": "r1", "class": "C2", "to": "REGULATOR", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P5BD"},
    {
        "id": "r2",
        "class": "C2",
        "to": "PUBLIC",
        "permit": {"and": ["RUN_CLOSED", {"or": ["LAB_CONSENT(C2)", "TIME(anchor+P20BD+hold)"]}]},
        "oblige": "TIME(anchor+P25BD+hold)",
    },
    {"id": "r3", "class": "C4", "to": "LAB_SAFETY", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P2BD"},
    {
        "id": "r4",
        "class": "C5",
        "to": "PUBLIC",
        "permit": {"and": ["TIME(anchor+P180D+hold)", {"or": ["REMEDIATION_CONFIRMED(*)", "TIME(anchor+P365D+hold)"]}]},
        "oblige": "TIME(anchor+P395D+hold)",
    },
    {"id": "r5", "class": "C9", "to": "CLEARED(bio)", "permit": {"or": ["ORDER(*)", "EMERGENCY(*)"]}},
]


def policy(*rules: dict[str, Any], **fields: Any) -> Policy:
    value: dict[str, Any] = {
        "v": "safeconduct-policy/v1",
        "anchor": "RUN_CLOSED",
        "calendar": {"holidays": ["2026-12-25"]},
        "maxHold": "P10BD",
        "rules": [{"oblige": None} | rule for rule in rules],
        "escrow": "none",
        "escrowReason": "These tests are about other rules.",
    }
    return validated(Policy, value | fields)


def rule(permit: Any, oblige: Any = None, *, content_class: str = "C3", to: str = "PUBLIC") -> dict[str, Any]:
    return {"id": "r", "class": content_class, "to": to, "permit": permit, "oblige": oblige}


def broken(given: Policy) -> str:
    with pytest.raises(PolicyUnsatisfiable) as caught:
        lint(given)
    return caught.value.facts["rule"]


def test_the_studys_example_passes() -> None:
    lint(policy(*STUDY))


def test_the_standard_policy_passes() -> None:
    lint(standard_policy())


@pytest.mark.parametrize(
    ("permit", "oblige"),
    [
        ("RUN_CLOSED + P5BD", "RUN_CLOSED"),
        ("RUN_CLOSED + P5BD", "RUN_CLOSED + P4BD"),
        ("TIME(anchor+P20BD+hold)", "TIME(anchor+P20BD)"),
        ("DELIVERED", "RUN_CLOSED + P5BD"),
        ({"and": ["RUN_CLOSED", "DELIVERED"]}, "RUN_CLOSED"),
        ("RUN_CLOSED", {"or": ["RUN_CLOSED", "DELIVERED"]}),
        ("RUN_CLOSED + P7D", "RUN_CLOSED + P4BD"),
        ("TIME(2027-02-01T00:00:00Z)", "TIME(2027-01-01T00:00:00Z)"),
    ],
)
def test_an_obligation_before_its_permission_breaks_l1(permit: Any, oblige: Any) -> None:
    """T022."""
    assert broken(policy(rule(permit, oblige))) == "L1"


@pytest.mark.parametrize(
    ("permit", "oblige"),
    [
        ("RUN_CLOSED", "RUN_CLOSED"),
        ("RUN_CLOSED + P5BD", "RUN_CLOSED + P6BD"),
        ("TIME(anchor+P20BD+hold)", "TIME(anchor+P20BD+hold)"),
        ({"or": ["RUN_CLOSED", "DELIVERED"]}, {"and": ["RUN_CLOSED", "DELIVERED"]}),
        ("RUN_CLOSED + P2D", "RUN_CLOSED + P2BD"),
        ("TIME(2027-01-01T00:00:00Z)", "TIME(2027-02-01T00:00:00Z)"),
    ],
)
def test_an_obligation_after_its_permission_keeps_l1(permit: Any, oblige: Any) -> None:
    lint(policy(rule(permit, oblige)))


@pytest.mark.parametrize(
    "permit",
    ["LAB_CONSENT(C3)", {"and": ["RUN_CLOSED", "LAB_CONSENT(C3)"]}, {"or": ["LAB_CONSENT(C3)", "ORDER(*)"]}],
)
def test_a_permission_that_can_wait_for_ever_breaks_l3(permit: Any) -> None:
    """T023."""
    assert broken(policy(rule(permit))) == "L3"


@pytest.mark.parametrize("to", ["PUBLIC", "LAB_ALL"])
def test_hazards_for_all_break_l4(to: str) -> None:
    """T024."""
    assert broken(policy(rule("RUN_CLOSED", content_class="C9", to=to))) == "L4"


def test_a_hold_that_is_not_counted_in_business_days_breaks_l6() -> None:
    assert broken(policy(rule("RUN_CLOSED"), maxHold="P10D")) == "L6"


@pytest.mark.parametrize(
    "commitments", ["RUN_CLOSED + P30BD", "TIME(anchor+P1BD+hold)", "TIME(2027-01-31T00:00:00Z)", "LAB_CONSENT(C1)"]
)
def test_aggregates_for_the_public_before_commitments_break_l9(commitments: str) -> None:
    rules = [rule("RUN_CLOSED", content_class="C2") | {"id": "c2"}]
    rules.append(rule(commitments, content_class="C1") | {"id": "c1"})
    assert "L9" in {finding.rule for finding in lint_policy(policy(*rules))}


@pytest.mark.parametrize("commitments", [None, "RUN_CLOSED", "REGISTERED", "DELIVERED"])
def test_nothing_sealed_is_public_before_a_log_has_delivered_it(commitments: str | None) -> None:
    """A policy that does not speak of commitments leaves them public from the close on."""
    rules = [rule("RUN_CLOSED", content_class="C2") | {"id": "c2"}]
    if commitments is not None:
        rules.append(rule(commitments, content_class="C1") | {"id": "c1"})
    lint(policy(*rules))


def test_a_formula_too_large_to_be_checked_breaks_l1() -> None:
    part = {"or": ["RUN_CLOSED", "DELIVERED", "REGISTERED", "ADJUDICATED"]}
    huge = {"and": [part] * 8}
    assert broken(policy(rule(huge, huge))) == "L1"


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "NOT RUN_CLOSED",
        {"not": "RUN_CLOSED"},
        "RUN_CLOSED+P5BD",
        "RUN_CLOSED + P5W",
        "run_closed",
        "GOSSIP",
        "TIME()",
        "TIME(anchor+P1D+P1D)",
        "TIME(2027-13-01T00:00:00Z)",
        "TIME(\u0662027-01-01T00:00:00Z)",
        "RUN_CLOSED + P\u0665BD",
        {"and": []},
        {"and": ["RUN_CLOSED"], "or": []},
        7,
        None,
        [],
    ],
)
def test_what_is_no_formula_is_malformed(formula: Any) -> None:
    with pytest.raises(MalformedEnvelope):
        policy(rule(formula))


def test_a_formula_nested_without_end_is_malformed() -> None:
    formula: Any = "RUN_CLOSED"
    for _ in range(12):
        formula = {"and": [formula]}
    with pytest.raises(MalformedEnvelope):
        policy(rule(formula))


@pytest.mark.parametrize("twice", [{"id": "r"}, {"id": "other"}])
def test_two_rules_for_one_thing_are_malformed(twice: dict[str, Any]) -> None:
    second = rule("DELIVERED") | twice
    if twice == {"id": "r"}:
        second |= {"class": "C5"}
    with pytest.raises(MalformedEnvelope):
        policy(rule("RUN_CLOSED"), second)
