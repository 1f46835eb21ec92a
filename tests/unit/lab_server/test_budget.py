"""Budgets are exact: what is promised is set aside, what is used is counted, nothing is counted twice."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from attestations.documents.agreement import Budget
from attestations.documents.exchange import TokenBudget, Usage
from attestations.errors import BudgetExhausted
from lab_server.budget import BudgetBook

BUDGET = Budget(requests="3", input_tokens="100", output_tokens="50", crashes=0, unrevealed=0)


def wanted(read: int, written: int) -> TokenBudget:
    return TokenBudget(input_tokens=read, output_tokens=written)


def used(read: int, written: int) -> Usage:
    return Usage(input_tokens=read, cached_tokens=0, output_tokens=written, reasoning_tokens=0)


def test_a_promise_sets_aside_what_it_may_use_and_gives_back_what_it_did_not() -> None:
    book = BudgetBook(BUDGET)
    assert book.reserve(("a", 0), wanted(60, 50)).input_tokens == "40"
    with pytest.raises(BudgetExhausted) as refused:
        book.reserve(("b", 0), wanted(60, 0))
    assert refused.value.facts["rule"] == "input_tokens"
    before, after = book.settle(("a", 0), used(10, 5))
    assert (before.requests, after.requests, after.input_tokens, after.output_tokens) == ("0", "1", "10", "5")
    assert book.left().input_tokens == "90"


def test_requests_are_counted_while_they_are_open() -> None:
    book = BudgetBook(BUDGET)
    for place in range(3):
        book.reserve(("a", place), wanted(1, 1))
    with pytest.raises(BudgetExhausted, match="no requests"):
        book.reserve(("a", 3), wanted(1, 1))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), st.booleans()), max_size=30))
def test_the_meter_never_passes_the_budget(steps: list[tuple[int, int, bool]]) -> None:
    book, open_places = BudgetBook(BUDGET), list[tuple[tuple[str, int], TokenBudget]]()
    for number, (read, written, ends) in enumerate(steps):
        try:
            book.reserve(("a", number), wanted(read, written))
        except BudgetExhausted:
            continue
        open_places.append((("a", number), wanted(read, written)))
        if ends:
            place, most = open_places.pop(0)
            book.settle(place, used(most.input_tokens, most.output_tokens))
    for place, most in open_places:
        book.settle(place, used(most.input_tokens, most.output_tokens))
    meter = book.meter()
    assert int(meter.requests) <= 3
    assert int(meter.input_tokens) <= 100
    assert int(meter.output_tokens) <= 50
