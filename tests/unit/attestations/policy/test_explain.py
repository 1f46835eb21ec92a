"""What is said of a policy does not contradict the agreement it stands in."""

from __future__ import annotations

from attestations.documents.base import validated
from attestations.policy.explain import explain
from attestations.policy.model import Policy
from tests.support import world_escrow
from tests.unit.attestations.policy.study_policy import EXAMPLE


def test_an_access_structure_says_who_opens_whatever_the_policy_says_of_having_none() -> None:
    """Never both: that nobody can cure withholding, and who can."""
    agreed = world_escrow.agreement()
    assert agreed.policy.escrow == "none"
    said = explain(agreed.policy, agreed.escrow)
    general = " ".join(said.general)
    assert "cannot be cured" not in general
    assert "regulator.example and any 1 of t1, t2 together (assisted), once it is overdue" in general
    assert "any 2 of t1, t2, t3 together (trustees), once it is overdue for 1 day" in general
    silence = {rule.id: rule.silence for rule in said.rules if rule.silence}
    assert set(silence.values()) == {"If the auditor does not, holders in escrow can (assisted or trustees)."}
    assert "cannot be cured" in " ".join(explain(agreed.policy).general)


def test_what_an_emergency_can_do_is_said_whether_or_not_there_is_a_section() -> None:
    given = world_escrow.agreement().policy
    assert "a few items of any class" in explain(given).emergency[0]
    assert "the keys of the auditor and the regulator together" in explain(given).emergency[1]
    alone = validated(Policy, given.json_value() | {"emergency": {**EXAMPLE["emergency"], "twoKey": []}})
    assert explain(alone).emergency[1] == "More than that is shown in no emergency, and to nobody else."


def test_holders_without_an_access_structure_are_not_said_to_hold_anything() -> None:
    """Nothing is in escrow where the agreement does not say who can open it."""
    given = validated(Policy, EXAMPLE)
    assert "the holders in escrow can: E1" in explain(given).rules[0].silence
    assert "nobody can release it in its place: E1" in explain(given, agreed=True).rules[0].silence


def test_where_nobody_is_owed_commitments_it_is_said_that_an_audit_may_never_be_heard_of() -> None:
    """An engagement that is given up owes C0 and C1 only as far as a rule obliges."""
    words = "may never be heard of"
    given = validated(Policy, EXAMPLE)
    assert words in " ".join(explain(given).general)
    rule = {"id": "c1", "class": "C1", "to": "PUBLIC", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P5BD"}
    owed = validated(Policy, EXAMPLE | {"rules": [*EXAMPLE["rules"], rule]})
    assert words not in " ".join(explain(owed).general)
