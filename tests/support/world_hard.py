"""The made-up audit with a regulator, a cleared laboratory and rules that wait for orders and emergencies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attestations.documents.agreement import Agreement, Party, PartyKey, PartyRole
from attestations.documents.base import Document, encode, validated
from attestations.documents.disclosing import EmergencyItem, EmergencyNotice, Order
from attestations.keys import KeyUse, Signer
from attestations.policy.defaults import standard_policy
from attestations.policy.model import Policy
from attestations.trust import Trust, TrustedParty
from tests.support import world_agreement
from tests.support.world import World
from tests.support.world_agreement import p256_signer, party_key
from tests.support.world_escrow import receive_key

OFFICE, CLINIC, PEER = "office.example", "clinic.example", "peer.example"
BIO = "CLEARED(bio)"
C2_OUT = ("release", "S2", "C2", "PUBLIC")
C3_R = ("release", "S3", "C3", "REGULATOR")
C8_R = ("release", "S5", "C8", "REGULATOR")
C5_OUT = ("release", "S4", "C5", "PUBLIC")
SEPTEMBER_LATER = datetime(2027, 11, 5, 9, tzinfo=UTC)
Statement = Callable[[str, str], Document]


def office() -> Signer:
    """Return the regulator's agreement key."""
    return p256_signer(OFFICE, KeyUse.AGREEMENT)


def clinic() -> Signer:
    """Return the cleared laboratory's agreement key."""
    return p256_signer(CLINIC, KeyUse.AGREEMENT)


def others() -> tuple[Party, ...]:
    """Return the parties besides lab and auditor."""
    return (
        _other("regulator", OFFICE, office()),
        _other("recipient", CLINIC, clinic(), group="bio"),
        _other("recipient", PEER, p256_signer(PEER, KeyUse.AGREEMENT)),
    )


def _other(role: PartyRole, name: str, signer: Signer, group: str | None = None) -> Party:
    receive = PartyKey(use="receive", public=encode(receive_key(name).public))
    return Party(role=role, id=name, keys=(party_key(signer.key), receive), group=group)


def policy(*instead: dict[str, Any], **changes: Any) -> Policy:
    """Return the standard policy with rules that wait for orders and emergencies, and others `instead` of its own."""
    value = standard_policy().json_value() | changes
    mine = [
        _rule("c7-regulator", "C7", "REGULATOR", {"or": ["ORDER(*)", "DELIVERED + P10BD"]}),
        _rule("c9-bio", "C9", BIO, {"or": ["ORDER(*)", "EMERGENCY(*)"]}),
        _rule("c7-bio", "C7", BIO, {"or": ["EMERGENCY(*)", "TIME(anchor+P365D)"]}),
        _rule("c5-bio", "C5", BIO, "TIME(anchor+P365D)"),
        *instead,
    ]
    named = {rule["id"] for rule in mine}
    rules = [*(rule for rule in value["rules"] if rule["id"] not in named), *mine]
    return validated(Policy, value | {"rules": rules})


def _rule(name: str, content_class: str, to: str, permit: Any) -> dict[str, Any]:
    return {"id": name, "class": content_class, "to": to, "permit": permit, "oblige": None}


def agreement(ours: Policy | None = None) -> Agreement:
    """Return the agreement with everybody in it."""
    agreed = world_agreement.agreement(policy=ours or policy())
    return agreed.model_copy(update={"parties": (*agreed.parties, *others())})


def hard_world(ours: Policy | None = None, **changes: Any) -> World:
    """Return an audit under that agreement, and a reader who trusts everybody."""
    trusted = world_agreement.trust()
    more = tuple(TrustedParty(role=party.role, id=party.id, keys=party.keys) for party in others())
    trust = Trust(parties=(*trusted.parties, *more), witnesses=trusted.witnesses)
    return World(agreement=agreement(ours), trust=trust, **changes)


def order(**changes: Any) -> Statement:
    """Return an order for transcripts to the regulator."""
    value = {
        "id": "order-1",
        "legal_basis": "EU AI Act, Article 91",
        "classes": ("C7",),
        "to": ("REGULATOR",),
        "issued_at": "2026-11-05T00:00:00Z",
        "expires_at": "2026-12-05T00:00:00Z",
    } | changes
    return lambda digest, _: Order(agreement=digest, **value)


def emergency(*to: str, items: Any = (("C7", 3),), **changes: Any) -> Statement:
    """Return a notice about one transcript."""
    value = {"id": "emergency-1", "severity": "other", "expires_at": "2026-12-05T00:00:00Z"} | changes
    named = tuple(EmergencyItem(content_class=cls, i=i) for cls, i in items)
    return lambda digest, now: EmergencyNotice(agreement=digest, to=to, items=named, stated_at=now, **value)


EMERGENCY = emergency("LAB_SAFETY", "REGULATOR")


def before(world: World, step: tuple[Any, ...], *more: tuple[Any, ...]) -> World:
    """Put steps before one of a world's."""
    place = world.steps.index(step)
    world.steps[place:place] = more
    return world


def after(world: World, step: tuple[Any, ...], *more: tuple[Any, ...]) -> World:
    """Put steps after one of a world's."""
    place = world.steps.index(step) + 1
    world.steps[place:place] = more
    return world
