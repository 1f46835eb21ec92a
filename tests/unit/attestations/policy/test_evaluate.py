"""One pure function says what the policy allows; its answers never go back as time and log grow."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given, strategies as st

from attestations.documents.base import Document
from attestations.policy.calendar import add, business_days_between, is_business_day
from attestations.policy.defaults import standard_policy
from attestations.policy.evaluate import HOLD, Bounds, Seen, State, evaluate, held_days, permitted
from attestations.policy.formula import Duration, parse_duration
from attestations.policy.model import Policy
from tests.unit.attestations.policy.test_lint import STUDY, policy, rule

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
RANK = {State.FORBIDDEN: 0, State.INDETERMINATE: 1, State.PERMITTED: 2, State.OVERDUE: 3, State.RELEASED: 4}
ATOMS = (
    "RUN_CLOSED",
    "DELIVERED",
    "LAB_CONSENT(C2)",
    "REMEDIATION_CONFIRMED(*)",
    "RUN_CLOSED + P3BD",
    "DELIVERED + P2D",
    "TIME(anchor+P5BD+hold)",
    "TIME(2026-11-20T00:00:00Z)",
)
FORMULAS = st.recursive(
    st.sampled_from(ATOMS),
    lambda parts: st.builds(
        lambda word, items: {word: items}, st.sampled_from(["and", "or"]), st.lists(parts, min_size=1, max_size=3)
    ),
    max_leaves=5,
)


def at(hours: float, skew: float = 0) -> Bounds:
    moment = MONDAY + timedelta(hours=hours)
    return Bounds(moment - timedelta(seconds=skew), moment + timedelta(seconds=skew))


def seen(name: str, hours: float, argument: str | None = None, skew: float = 5) -> Seen:
    return Seen(name, argument, at(hours, skew))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                ("RUN_CLOSED", None),
                ("DELIVERED", None),
                ("LAB_CONSENT", "C2"),
                ("REMEDIATION_CONFIRMED", "f1"),
                (HOLD, "2"),
                (HOLD, "9"),
                ("RELEASED", "C5:PUBLIC"),
            ]
        ),
        st.integers(0, 600),
    ),
    max_size=8,
).map(lambda rows: [seen(name, hours, argument) for (name, argument), hours in sorted(rows, key=lambda row: row[1])])


def state(given: Any, events: list[Seen], now: Bounds) -> State:
    return evaluate(given, events, now)["C2", "PUBLIC"]


@given(FORMULAS, EVENTS, st.integers(0, 900), st.integers(0, 900))
def test_a_permission_never_goes_back_as_time_and_log_grow(
    formula: Any, events: list[Seen], hours: int, more: int
) -> None:
    """I5: every event up to then is known at each of the two times, holds included."""
    ours = policy(rule(formula, content_class="C2"))
    states = []
    for moment in (hours, hours + more):
        known = [event for event in events if event.at.upper <= at(moment, 5).lower + timedelta(seconds=5)]
        states.append(state(ours, known, at(moment, 5)))
    if states[0] is State.PERMITTED:
        assert RANK[states[1]] >= RANK[State.PERMITTED]


@given(FORMULAS, EVENTS, EVENTS, st.integers(0, 900))
def test_more_events_never_take_away_what_is_permitted(
    formula: Any, events: list[Seen], more: list[Seen], hours: int
) -> None:
    ours = policy(rule(formula, content_class="C2"))
    extra = [event for event in more if event.name != HOLD]
    before, after = state(ours, events, at(hours, 5)), state(ours, [*events, *extra], at(hours, 5))
    holds = any(event.name == HOLD for event in events)
    if not holds:
        assert RANK[after] >= RANK[before] or before is State.OVERDUE


@given(FORMULAS, EVENTS, st.integers(0, 900))
def test_equal_logs_give_equal_answers(formula: Any, events: list[Seen], hours: int) -> None:
    """I18."""
    ours = policy(rule(formula, content_class="C2"))
    assert evaluate(ours, events, at(hours)) == evaluate(ours, list(events), at(hours))


@given(EVENTS, st.integers(0, 20_000))
def test_what_is_overdue_is_permitted(events: list[Seen], hours: int) -> None:
    """I3, for the study's own policy."""
    ours = policy(*STUDY)
    for (content_class, to), found in evaluate(ours, events, at(hours, 5)).items():
        if found is State.OVERDUE:
            allowed = permitted(ours, events, at(hours, 5), content_class=content_class, recipient=to)
            assert allowed is State.PERMITTED


def test_without_a_rule_everything_is_forbidden() -> None:
    assert permitted(policy(*STUDY), [], at(0), content_class="C7", recipient="PUBLIC") is State.FORBIDDEN


def test_between_surely_not_and_surely_the_answer_is_open() -> None:
    ours, closed = policy(rule("RUN_CLOSED + P1D", content_class="C2")), [seen("RUN_CLOSED", 0)]
    found = [state(ours, closed, at(24 + seconds / 3600, 5)) for seconds in (-11, -9, 9, 11)]
    assert found == [State.FORBIDDEN, State.INDETERMINATE, State.INDETERMINATE, State.PERMITTED]


def test_an_obligation_is_overdue_only_when_it_is_surely_late() -> None:
    ours = policy(rule("RUN_CLOSED", "RUN_CLOSED + P1D", content_class="C2"))
    closed = [seen("RUN_CLOSED", 0)]
    assert state(ours, closed, at(24, 5)) is State.PERMITTED
    assert state(ours, closed, at(24.01, 5)) is State.OVERDUE
    assert state(ours, [*closed, seen("RELEASED", 30, "C2:PUBLIC")], at(48)) is State.RELEASED


def test_a_hold_moves_permission_and_obligation_alike() -> None:
    ours = policy(rule("TIME(anchor+P1BD+hold)", "TIME(anchor+P2BD+hold)", content_class="C2"))
    closed, held = [seen("RUN_CLOSED", 0)], seen(HOLD, 1, "2")
    assert state(ours, closed, at(25)) is State.PERMITTED
    assert state(ours, [*closed, held], at(25)) is State.FORBIDDEN
    assert state(ours, [*closed, held], at(73)) is State.PERMITTED
    assert state(ours, [*closed, held], at(97)) is State.OVERDUE


def test_holds_add_up_to_no_more_than_was_agreed() -> None:
    """I6, T099: ten business days and not one more."""
    ours = policy(rule("TIME(anchor+P1BD+hold)", content_class="C2"))
    events = [seen("RUN_CLOSED", 0), seen(HOLD, 1, "9"), seen(HOLD, 2, "9"), seen(HOLD, 3, "9")]
    assert state(
        ours, events, Bounds(*[add(MONDAY, Duration(business_days=11), frozenset()) + timedelta(hours=1)] * 2)
    ) is (State.PERMITTED)


def test_a_hold_after_the_permission_counts_for_nothing() -> None:
    """T099: what is permitted stays permitted."""
    ours = policy(rule("TIME(anchor+P1BD+hold)", content_class="C2"))
    events = [seen("RUN_CLOSED", 0), seen(HOLD, 30, "9")]
    assert state(ours, events, at(31)) is State.PERMITTED


@pytest.mark.parametrize(("argument", "days"), [("3", 3), ("0", 0), ("-1", 0), ("x", 0), (None, 0), ("\u0663", 0)])
def test_a_hold_is_a_number_of_days_or_nothing(argument: str | None, days: int) -> None:
    assert held_days(argument) == days


def test_business_days_leave_out_weekends_and_holidays() -> None:
    holidays = frozenset({date(2026, 11, 4)})
    friday = MONDAY + timedelta(days=4)
    assert [is_business_day((MONDAY + timedelta(days=n)).date(), holidays) for n in range(7)] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
    ]
    assert add(friday, Duration(business_days=1), holidays) == MONDAY + timedelta(days=7)
    assert add(MONDAY, Duration(business_days=2), holidays) == MONDAY + timedelta(days=3)
    assert add(MONDAY, Duration(days=2, seconds=5), holidays) == MONDAY + timedelta(days=2, seconds=5)


@given(st.integers(0, 400), st.integers(0, 60))
def test_counting_business_days_undoes_adding_them(start: int, days: int) -> None:
    holidays = frozenset({date(2026, 12, 25), date(2027, 1, 1)})
    moment = MONDAY + timedelta(days=start)
    assert business_days_between(moment, add(moment, Duration(business_days=days), holidays), holidays) == days


@given(st.integers(0, 60), st.integers(0, 60))
def test_adding_more_business_days_is_never_earlier(days: int, more: int) -> None:
    assert add(MONDAY, Duration(business_days=days + more), frozenset()) >= add(
        MONDAY, Duration(business_days=days), frozenset()
    )


def test_a_span_beyond_the_calendar_is_later_than_everything() -> None:
    late = datetime(2999, 12, 31, tzinfo=UTC)
    assert add(late, parse_duration("P9999BD"), frozenset()) > late
    assert add(datetime.max.replace(tzinfo=UTC), parse_duration("P1BD"), frozenset()) >= late


class Wrapped(Document):
    payload_type: ClassVar[str] = "application/vnd.safeconduct.test.v1+json"

    policy: Policy


def test_a_policy_read_from_bytes_equals_the_one_that_was_written() -> None:
    written = standard_policy()
    terms = Wrapped(policy=written)

    assert written == Wrapped.parse(terms.to_bytes()).policy
    assert written == Wrapped.from_json(terms.json_value()).policy


def test_no_rule_keeps_commitments_from_the_public_once_the_run_has_closed() -> None:
    """Whatever the policy says: a rule of its own may say sooner, never later."""
    late = policy(rule("TIME(anchor+P999BD+hold)", content_class="C1"))
    closed = [seen("RUN_CLOSED", 0)]
    assert permitted(late, closed, at(1), content_class="C1", recipient="PUBLIC") is State.PERMITTED
    assert permitted(late, [], at(1), content_class="C1", recipient="PUBLIC") is State.FORBIDDEN
