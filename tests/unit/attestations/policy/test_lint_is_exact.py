"""The linter's proofs are exact: what it refutes happens in `evaluate`, and what it accepts fails in no history.

Both directions run over the reference semantics, not over a copy of them: a counterexample is replayed, and for
formulas of the usual size every subset of events, order of events, hold and moment of a grid is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from attestations.policy.evaluate import HOLD, Bounds, Seen, State, evaluate, permitted
from attestations.policy.lint import Proof, lint_policy
from attestations.policy.model import Policy
from attestations.policy.terms import terms_of
from tests.unit.attestations.policy.test_lint import policy, rule

FRIDAY = datetime(2026, 12, 18, 9, tzinfo=UTC)
EVENTS = (("RUN_CLOSED", None), ("DELIVERED", None), ("LAB_CONSENT", "C2"), ("LAB_CONSENT", "C5"))
ATOMS = (
    "RUN_CLOSED",
    "DELIVERED",
    "LAB_CONSENT(C2)",
    "LAB_CONSENT(*)",
    "RUN_CLOSED + P1BD",
    "RUN_CLOSED + P2BD",
    "RUN_CLOSED + P3D",
    "DELIVERED + PT5400S",
    "TIME(anchor+P1BD+hold)",
    "TIME(anchor+P2BD+hold)",
    "TIME(anchor+P2D+hold)",
    "TIME(2026-12-21T12:00:00Z)",
    "TIME(2026-12-22T12:00:00Z+P1BD)",
)
FORMULAS = st.recursive(
    st.sampled_from(ATOMS),
    lambda parts: st.builds(
        lambda word, items: {word: items}, st.sampled_from(["and", "or"]), st.lists(parts, min_size=1, max_size=3)
    ),
    max_leaves=4,
)


def of(permit: Any, oblige: Any, *, hold: str = "P2BD") -> Policy:
    return policy(rule(permit, oblige, content_class="C2", to="REGULATOR"), maxHold=hold)


def is_owed_but_forbidden(given: Policy, events: list[Seen], now: datetime) -> bool:
    at = Bounds(now, now)
    owed = evaluate(given, events, at)["C2", "REGULATOR"] is State.OVERDUE
    return owed and permitted(given, events, at, content_class="C2", recipient="REGULATOR") is not State.PERMITTED


def history(happened: tuple[tuple[Any, datetime], ...], hold: int, now: datetime) -> list[Seen]:
    """A log: the hold first, so that it counts, then what had happened by `now`, in order."""
    begun = datetime(1990, 1, 1, tzinfo=UTC)
    held = [Seen(HOLD, str(hold), Bounds(begun, begun))] if hold else []
    rows = sorted(((at, source) for source, at in happened if at <= now), key=lambda row: (row[0], str(row[1])))
    return held + [Seen(source.name, source.argument, Bounds(at, at)) for at, source in rows]


def grid(given: Policy, days: Sequence[int]) -> Iterator[tuple[list[Seen], datetime]]:
    """Every subset of events, in every order over close and distant days, every hold, many moments."""
    begun = FRIDAY - timedelta(days=400)
    for hold in (0, 1, 2):
        held = [Seen(HOLD, str(hold), Bounds(begun, begun))] if hold else []
        for size in range(len(EVENTS) + 1):
            for chosen in permutations(EVENTS, size):
                for gaps in product((0, 26), repeat=size):
                    moment, events = FRIDAY, []
                    for (name, argument), gap in zip(chosen, gaps, strict=True):
                        moment += timedelta(hours=gap)
                        events.append(Seen(name, argument, Bounds(moment, moment)))
                    for day in days:
                        now = FRIDAY + timedelta(days=day, hours=5)
                        yield held + [event for event in events if event.at.upper <= now], now


def refutation(given: Policy) -> Any:
    only = given.rules[0]
    obliges = only.obliges()
    assert obliges is not None
    return Proof(given).refute(terms_of(given, obliges), terms_of(given, given.permits(only)))


@settings(max_examples=250)
@given(FORMULAS, FORMULAS)
@example("RUN_CLOSED + P3D", "RUN_CLOSED + P2BD")
@example("RUN_CLOSED + P2BD", "TIME(anchor+P2D+hold)")
def test_a_refuted_policy_really_owes_what_it_forbids(permit: Any, oblige: Any) -> None:
    """Soundness of every L1 finding: the history it names is replayed through `evaluate`."""
    ours = of(permit, oblige)
    found = refutation(ours)
    assert (found is not None) == any(finding.rule == "L1" for finding in lint_policy(ours))
    if found is not None:
        assert is_owed_but_forbidden(ours, history(found.happened, found.hold, found.now), found.now)


@settings(max_examples=12, deadline=None)
@given(FORMULAS, FORMULAS)
def test_an_accepted_policy_owes_nothing_it_forbids_in_any_history(permit: Any, oblige: Any) -> None:
    """Completeness: no history of the grid breaks what the linter lets pass."""
    ours = of(permit, oblige)
    if refutation(ours) is None:
        assert not any(is_owed_but_forbidden(ours, events, now) for events, now in grid(ours, range(0, 12, 2)))


@pytest.mark.parametrize("permit", ATOMS)
def test_every_pair_of_atoms_is_decided_as_brute_force_decides_it(permit: str) -> None:
    """Exhaustive over all pairs: refuted exactly when a history of the grid, or the replayed one, breaks it."""
    for oblige in ATOMS:
        ours = of(permit, oblige)
        found = refutation(ours)
        if found is None:
            small = grid(ours, (0, 4))
            assert not any(is_owed_but_forbidden(ours, events, now) for events, now in small), oblige
        else:
            assert is_owed_but_forbidden(ours, history(found.happened, found.hold, found.now), found.now), oblige


def test_holidays_near_a_date_decide_what_the_usual_week_does_not() -> None:
    """Four days are always as long as one business day in a usual week, but not around two holidays."""
    usual = of("RUN_CLOSED + P1BD", "RUN_CLOSED + P4D")
    holidays = {"holidays": ["2026-12-24", "2026-12-25"]}
    assert refutation(usual) is None
    longer = policy(
        rule("RUN_CLOSED + P1BD", "RUN_CLOSED + P4D", content_class="C2", to="REGULATOR"), calendar=holidays
    )
    found = refutation(longer)
    assert found is not None
    assert found.happened[0][1].date().isoformat() == "2026-12-23"


def test_two_different_units_may_together_cover_what_neither_covers_alone() -> None:
    """min(3 days, 2 business days) is never later than max(2 business days, 3 days), though neither always wins."""
    units = ["RUN_CLOSED + P3D", "RUN_CLOSED + P2BD"]
    assert refutation(of({"or": units}, {"and": units})) is None
    assert refutation(of({"and": units}, {"or": units})) is not None


def test_what_a_reader_is_told_is_a_history() -> None:
    (finding,) = lint_policy(of("DELIVERED", "RUN_CLOSED + P5BD"))
    assert finding.rule == "L1"
    assert "as with RUN_CLOSED on " in finding.reason
