"""The disclosure rules over every history of a small audit, and the known wrong variants, each of which must fail."""

from __future__ import annotations

import pytest

from attestations.policy.lint import lint_policy
from attestations.policy.model import Policy
from tests.models.disclosure import Model, policy, with_free_holds

ENDLESS = {"permit": {"and": ["TIME(anchor+P2D+hold)", "REMEDIATION_CONFIRMED(*)"]}}
UNSHIFTED = {"oblige": "TIME(anchor+P3D)"}


def breaks(model: Model, invariant: str) -> bool:
    return any(breach.invariant == invariant for breach in model.breaches())


def test_no_history_breaks_an_invariant() -> None:
    """I3, I4, I5, I7, I8: with bounded holds, an outer time, escrow, and an auditor that may fall silent."""
    model = Model(policy())
    assert lint_policy(model.policy) == ()
    assert list(model.breaches()) == []
    assert len(model.views) > 3000


def test_holds_that_count_whenever_they_come_take_back_what_was_permitted() -> None:
    """I4, I5."""
    assert breaks(Model(policy(), reading=with_free_holds), "I4")
    assert breaks(Model(policy(), reading=with_free_holds), "I5")


@pytest.mark.parametrize(
    ("wrong", "rules", "invariant"),
    [
        (policy(task=UNSHIFTED), {"L1"}, "I3"),
        (policy(task=ENDLESS), {"L1", "L3"}, "I3"),
        (policy(task=ENDLESS | {"oblige": None}), {"L3"}, "I8"),
        (policy(holders=False), {"L2"}, "I8"),
    ],
    ids=["unshifted obligation", "endless veto, owed", "endless veto, not owed", "no escrow"],
)
def test_what_the_linter_refuses_really_breaks(wrong: Policy, rules: set[str], invariant: str) -> None:
    assert {finding.rule for finding in lint_policy(wrong)} == rules
    assert breaks(Model(wrong), invariant)
