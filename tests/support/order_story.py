"""The audit whose class keys are in escrow and whose regulator orders some of them released."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from attestations.documents.base import validated
from attestations.keys import KeyUse
from attestations.ledger import LoggedOrder
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy
from tests.support import world_escrow
from tests.support.world import World, run_steps
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import REGULATOR
from tests.support.world_hard import before, order

WHEN = datetime(2026, 11, 6, 9, tzinfo=UTC)
EXPIRES = datetime(2026, 11, 10, tzinfo=UTC)
DATES = {"issued_at": "2026-11-01T00:00:00Z", "expires_at": "2026-11-10T00:00:00Z"}
STRUCTURE = {
    "branches": [
        {
            "id": "assisted",
            "groups": [{"need": 1, "of": [REGULATOR]}, {"need": 1, "of": ["t1", "t2"]}],
            "opens": ["overdue", "order"],
        },
        {"id": "trustees", "groups": [{"need": 2, "of": ["t1", "t2", "t3"]}], "graceDays": 1},
    ]
}


def ordered_policy() -> Policy:
    """The standard policy, but C2 and C3 reach the regulator by order or after weeks."""
    value = standard_policy().json_value()
    waits = {"or": ["ORDER(*)", "DELIVERED + P20BD"]}
    for rule in value["rules"]:
        if rule["id"] in ("c2-regulator", "c3-regulator"):
            rule |= {"permit": waits, "oblige": "DELIVERED + P25BD"}
    return validated(Policy, value)


def ordered(*orders: Any) -> World:
    """The audit with orders after the delivery, whose auditor then releases S1 and nothing more."""
    signer = p256_signer(REGULATOR, KeyUse.AGREEMENT)
    stated = [("state", make, signer) for make in orders or (order(classes=("C2",), **DATES),)]
    world = World(agreement=world_escrow.agreement(structure=STRUCTURE, policy=ordered_policy()))
    world.steps = [*run_steps(len(world.exchanges)), *world_escrow.steps()]
    return before(world, ("release", "S1", "C1", "REGULATOR"), *stated).build()


@cache
def usual() -> World:
    """One order for C2."""
    return ordered()


def orders(world: World) -> dict[str, LoggedOrder]:
    """Return the orders that count, by digest."""
    assert world.log.ledger is not None
    return world.log.ledger.orders


def digest(world: World, name: str = "order-1") -> str:
    """Return the digest of an order."""
    return next(key for key, logged in orders(world).items() if logged.document.id == name)
