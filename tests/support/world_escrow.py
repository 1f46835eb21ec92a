"""The made-up audit with its class keys in escrow: a regulator and three trustees who hold shares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attestations.documents.agreement import Agreement, Party, PartyKey
from attestations.documents.base import encode, format_time
from attestations.documents.escrow import EscrowManifest, EscrowVerified, ShareRelease
from attestations.envelope import Envelope, sign_document
from attestations.escrow.dealing import escrowed_classes, put_in_escrow
from attestations.escrow.holding import LoggedManifest, hand_over, open_shares, prove_held
from attestations.escrow.released import EscrowRelease
from attestations.keys import KeyUse
from attestations.recipients import recipients_of
from attestations.sealing import WorkerKey
from attestations.trust import Trust, TrustedParty
from tests.support import world_agreement
from tests.support.fixed_keys import secret
from tests.support.world_agreement import p256_signer, party_key

if TYPE_CHECKING:
    from tests.support.world import World

REGULATOR = "regulator.example"
HOLDERS = (REGULATOR, "t1", "t2", "t3")
STRUCTURE = {
    "branches": [
        {"id": "assisted", "groups": [{"need": 1, "of": [REGULATOR]}, {"need": 1, "of": ["t1", "t2"]}]},
        {"id": "trustees", "groups": [{"need": 2, "of": ["t1", "t2", "t3"]}], "graceDays": 1},
    ]
}
# C2 is owed to the regulator five business days after the delivery of 4 November 2026; nothing else is yet.
DUE = datetime(2026, 11, 12, 9, tzinfo=UTC)
EARLY = datetime(2026, 11, 10, 9, tzinfo=UTC)


def randomness(label: str) -> Callable[[int], bytes]:
    """Return bytes that are the same on every run."""
    state = hashlib.sha256(label.encode()).digest()
    counter = 0

    def give(size: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(state + counter.to_bytes(8, "big")).digest(size)

    return give


def receive_key(name: str) -> WorkerKey:
    """Return the key that shares are sealed to."""
    return WorkerKey(secret(f"{name} receive"))


def holder(name: str) -> Party:
    """Return a holder as the agreement names it."""
    keys = (
        party_key(p256_signer(name, KeyUse.AGREEMENT).key),
        PartyKey(use="receive", public=encode(receive_key(name).public)),
    )
    return Party(role="regulator" if name == REGULATOR else "escrow", id=name, keys=keys)


def agreement(*, structure: Any = None, **changes: Any) -> Agreement:
    """Return the usual agreement with holders and an access structure."""
    parties = [party.json_value() for party in world_agreement.agreement().parties]
    parties += [holder(name).json_value() for name in HOLDERS]
    return world_agreement.agreement(parties=parties, escrow=structure or STRUCTURE, **changes)


def trust(*names: str) -> Trust:
    """Return a trust file that knows lab, auditor and the named holders."""
    usual = world_agreement.trust()
    known = [TrustedParty(role=item.role, id=item.id, keys=item.keys) for item in map(holder, names)]
    return usual.model_copy(update={"parties": (*usual.parties, *known)})


def escrow(world: World, *only: str, **options: Any) -> None:
    """Step: put every class key that is owed in escrow, or only some."""
    for name in only or escrowed_classes(world.agreement):
        document = put_in_escrow(
            world.agreement,
            world.key.class_key(name),
            digest=world.run.digest,
            made_at=world.log.tick(),
            randomness=randomness(name),
            **options,
        )
        labels = ("escrow", f"escrow:{name}")
        envelope = world.hooks.sign(labels, document, world.keys.publication)
        world.log.receipt("escrow", envelope)
        world.escrowed[name] = LoggedManifest(envelope.digest, EscrowManifest.parse(envelope.payload))


def escrow_verified(world: World, *names: str) -> None:
    """Step: log the receipts of holders."""
    for name in names or HOLDERS:
        world.log.receipt("escrow_verified", receipt(world, name))


def receipt(world: World, name: str) -> Envelope:
    """Return a holder's receipt for all its shares."""
    document = EscrowVerified(
        agreement=world.run.digest,
        holder=name,
        classes=prove_held(world.escrowed.values(), receive_key(name), holder=name),
        verified_at=format_time(world.log.now),
    )
    return world.hooks.sign(
        ("escrow_verified", f"escrow_verified:{name}"), document, p256_signer(name, KeyUse.AGREEMENT)
    )


def steps(*before_delivery: Any, until: Sequence[Any] = ()) -> list[Any]:
    """Return the steps after the close up to S1 for the regulator; then the auditor vanishes."""
    first = [("until", datetime(2026, 11, 4, 9, tzinfo=UTC)), ("grade",), ("seal",)]
    return [
        *first,
        *(before_delivery or (("escrow",), ("escrow_verified",))),
        ("deliver",),
        ("until", datetime(2026, 11, 5, 9, tzinfo=UTC)),
        ("release", "S1", "C1", "REGULATOR"),
        *until,
    ]


def share_release(
    world: World, name: str, content_class: str = "C2", *, at: datetime = DUE, **changes: Any
) -> Envelope:
    """Return what a holder signs to release its shares of a class to the regulator."""
    manifest = world.escrowed[content_class]
    recipient = changes.get("recipient", "REGULATOR")
    meant = [party for party in recipients_of(world.agreement, recipient) if party.role != "lab"]
    to = [party.key(KeyUse.RECEIVE) for party in meant]
    shares = open_shares(manifest.document, receive_key(name), holder=name)
    value = {
        "agreement": world.run.digest,
        "manifest": manifest.digest,
        "content_class": content_class,
        "holder": name,
        "recipient": recipient,
        "ground": "overdue",
        "rule": f"{content_class.lower()}-{recipient.lower()}",
        "evidence": "00" * 32,
        "tree_size": str(world.log.size),
        "root": world.log.root().hex(),
        "shares": tuple(hand_over(shares, manifest=manifest.digest, holder=name, to=to)),
        "released_at": format_time(at),
    }
    return sign_document(ShareRelease.model_validate(value | changes), p256_signer(name, KeyUse.AGREEMENT))


def opened(world: World, *names: str, content_class: str = "C2", **changes: Any) -> EscrowRelease:
    """Return what the regulator makes of the releases of holders."""
    from attestations.escrow.combining import gather, open_release, recover
    from attestations.escrow.released import make_escrow_release

    envelopes = [share_release(world, name, content_class, **changes) for name in names]
    manifest = world.escrowed[content_class]
    releases = [open_release(envelope, world.agreement, manifest) for envelope in envelopes]
    gathered = gather(releases, manifest, own=REGULATOR, key=receive_key(REGULATOR))
    return make_escrow_release(recover(gathered, manifest, suite_id=world.key.suite_id), envelopes)
