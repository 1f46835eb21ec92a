"""Escrow releases that rest on a regulator's order: logged, valid, in scope, in time, or the exact error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from attestations.errors import (
    DisclosureEarly,
    DisclosureForbidden,
    EscrowQuorumUnmet,
    EvidenceMissing,
    OrderInvalid,
    OrderOutOfScope,
    SafeconductError,
)
from attestations.escrow.released import EscrowRelease
from attestations.verify.engine import Request
from attestations.verify.report import Report
from tests.support.escrow_story import ALL, combined, prepared
from tests.support.order_story import DATES, EXPIRES, WHEN, digest, ordered, orders, usual
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World, check
from tests.support.world_escrow import REGULATOR, opened
from tests.support.world_hard import order


def by_order(world: World, *names: str, **changes: Any) -> EscrowRelease:
    value: dict[str, Any] = {"at": WHEN, "ground": "order", "order": changes.get("order") or digest(world)} | changes
    return opened(world, *(names or (REGULATOR, "t1")), **value)


def verified(world: World, *releases: EscrowRelease, at: datetime = WHEN + timedelta(days=90)) -> Report:
    return check(world.evidence("S1"), trust=ALL, request=Request(at=at, escrow=releases))


def test_what_was_ordered_is_opened_and_owed_no_more() -> None:
    world = usual()
    report = verified(world, by_order(world), at=WHEN)
    assert_holds(report)
    assert [(told["ground"], told["order"]) for told in report.escrow] == [("order", "order-1")]
    assert any("the regulator's order order-1 gives it" in line for line in report.limitations)


def test_holders_check_the_order_themselves_and_a_quorum_opens() -> None:
    world = usual()
    data = world.evidence("S1")
    options: dict[str, Any] = {"at": WHEN, "now": WHEN}
    named = {REGULATOR: "order-1", "t1": digest(world)}
    envelopes = [prepared(name, data, order=order, **options) for name, order in named.items()]
    found = combined(*envelopes, data=data)
    assert found.recipient == "REGULATOR"
    assert_holds(verified(world, found.release, at=WHEN))


def test_an_order_does_not_open_a_branch_that_is_for_what_is_overdue() -> None:
    world = usual()
    report = verified(world, by_order(world, "t1", "t2"), at=WHEN)
    assert_refused(report, DisclosureEarly, 50)
    with pytest.raises(EvidenceMissing):  # t3 holds shares of that branch alone
        prepared("t3", world.evidence("S1"), order="order-1", at=WHEN, now=WHEN)


def test_a_regulator_alone_opens_nothing_by_its_own_order() -> None:
    """T104."""
    world = usual()
    alone = prepared(REGULATOR, world.evidence("S1"), order="order-1", at=WHEN, now=WHEN)
    with pytest.raises(EscrowQuorumUnmet):
        combined(alone, data=world.evidence("S1"))


def test_shares_given_on_different_grounds_do_not_open_together() -> None:
    world = usual()
    one = prepared(REGULATOR, world.evidence("S1"), order="order-1", at=WHEN, now=WHEN)
    late = datetime(2027, 1, 30, tzinfo=UTC)
    other = prepared("t1", world.evidence("S1"), at=late, now=late)
    with pytest.raises(EscrowQuorumUnmet):
        combined(one, other, data=world.evidence("S1"))


def test_an_expired_order_opens_nothing_any_more() -> None:
    """T102: judged at the lower bound of the holders' time, so that only what is sure is blamed."""
    world = usual()
    after = EXPIRES + timedelta(days=1)
    assert_refused(verified(world, by_order(world, at=after), at=after), OrderInvalid, 50)
    assert_holds(verified(world, by_order(world, at=EXPIRES + timedelta(seconds=2)), at=EXPIRES + timedelta(hours=1)))
    refused(world, OrderInvalid, at=after)


def test_an_order_that_is_not_in_the_log_opens_nothing() -> None:
    """T102: unless the holders saw a longer log than the reader has."""
    world = usual()
    absent = by_order(world, order="0d" * 32)
    assert_refused(verified(world, absent, at=WHEN), OrderInvalid, 50)
    longer = by_order(world, order="0d" * 32, tree_size="1000000")
    assert_refused(verified(world, longer, at=WHEN), EvidenceMissing, 70)
    assert_refused(verified(world, by_order(world, order=None), at=WHEN), OrderInvalid, 50)
    refused(world, OrderInvalid, order="another")


def test_an_order_that_counts_for_nothing_opens_nothing() -> None:
    """T102: its own error, which the log shows as well."""
    world = ordered(order(classes=("C2",), legal_basis=" ", **DATES), order(id="order-2", classes=("C2",), **DATES))
    assert world.log.ledger is not None
    bad = world.log.ledger.breaches[0].document
    assert_refused(verified(world, by_order(world, order=bad), at=WHEN), OrderInvalid, 50)


def test_an_order_opens_what_it_names_and_nothing_else() -> None:
    """T103."""
    world = usual()
    assert_refused(verified(world, by_order(world, content_class="C3"), at=WHEN), OrderOutOfScope, 50)
    refused(world, OrderOutOfScope, content_class="C3", rule_id="c3-regulator")
    refused(world, DisclosureForbidden, rule_id="c3-regulator")


def test_holders_that_release_before_the_order_are_early() -> None:
    """By the log they saw, and by the time they give."""
    world = usual()
    leaf = next(iter(orders(world).values())).leaf
    early_log = by_order(world, tree_size=str(leaf), root=world.log.roots[leaf].hex())
    assert_refused(verified(world, early_log, at=WHEN), DisclosureEarly, 50)
    early = datetime(2026, 11, 5, 8, tzinfo=UTC)
    assert_refused(verified(world, by_order(world, at=early), at=WHEN), DisclosureEarly, 50)


def test_holders_that_release_within_the_skew_of_the_order_decide_nothing() -> None:
    world = usual()
    logged = next(iter(orders(world).values())).at
    just = logged.lower + (logged.upper - logged.lower) / 4
    whole = just.replace(microsecond=0) + timedelta(seconds=1)
    assert logged.lower < whole < logged.upper
    assert_refused(verified(world, by_order(world, at=whole), at=WHEN), EvidenceMissing, 70)


def test_two_orders_of_one_name_are_told_apart_by_their_digests() -> None:
    world = ordered(order(classes=("C2",), **DATES), order(classes=("C2", "C3"), **DATES))
    refused(world, OrderInvalid)
    for name in orders(world):
        assert prepared("t1", world.evidence("S1"), order=name, at=WHEN, now=WHEN).payload


def refused(world: World, error: type[SafeconductError], **changes: Any) -> None:
    """Check that a holder's own program releases nothing."""
    options: dict[str, Any] = {"order": "order-1", "at": WHEN}
    options |= changes
    with pytest.raises(error):
        prepared("t1", world.evidence("S1"), now=options["at"], **options)
