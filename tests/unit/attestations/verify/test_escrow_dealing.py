"""What the log must hold of escrow: honest dealings in time, receipts with proofs, and the level that follows."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.base import encode
from attestations.documents.escrow import EscrowManifest
from attestations.errors import (
    AssuranceOverclaimed,
    AttributionFailed,
    CommitmentMismatch,
    DisclosureEarly,
    EscrowShareInvalid,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PolicyUnsatisfiable,
    SignatureInvalid,
)
from attestations.escrow.binding import Place, share_info
from attestations.escrow.dealing import put_in_escrow
from attestations.escrow.share_file import open_manifests
from attestations.escrow.sharing import scalar_bytes
from attestations.keys import KeyUse, Signer
from attestations.log_entries import parse_entry
from attestations.negotiation.acceptable import check_acceptable
from attestations.sealing import seal_to
from attestations.verify.engine import Request
from attestations.verify.parties import read_agreement
from tests.support import world_escrow
from tests.support.escrow_story import ALL, LATER, combined, file, level, made, silent, verified
from tests.support.fixed_keys import suite_key
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World, check
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import EARLY, HOLDERS, REGULATOR, opened, randomness, receive_key, share_release, trust
from tests.support.world_log import Hooks


def rewrapped(manifest: EscrowManifest) -> EscrowManifest:
    return manifest.model_copy(
        update={"branches": tuple(b.model_copy(update={"wrapped": encode(bytes(48))}) for b in manifest.branches)}
    )


def test_a_dealer_that_wraps_something_else_is_blamed_and_no_holder_is() -> None:
    """Every share is good and every holder has said so; only opening shows that the wrapped key is garbage."""
    world = made(hooks=Hooks(alter={"escrow:C2": rewrapped}))
    assert level(check(world.evidence("S1"), trust=ALL)) == "DE2"

    with pytest.raises(KeyCommitmentMismatch, match="auditor"):
        opened(world, "t1", REGULATOR)


def test_a_dealer_that_hands_out_a_bad_share_is_found_by_its_holder() -> None:
    def swap(manifest: EscrowManifest) -> EscrowManifest:
        first, *rest = manifest.branches
        group = first.groups[1]
        boxes = (group.shares[0].model_copy(update={"box": group.shares[1].box}), group.shares[1])
        changed = first.model_copy(update={"groups": (first.groups[0], group.model_copy(update={"shares": boxes}))})
        return manifest.model_copy(update={"branches": (changed, *rest)})

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": swap}))
    with pytest.raises(EscrowShareInvalid, match="t1"):
        world_escrow.receipt(world, "t1")
    world_escrow.receipt(world, "t3")


def test_levels_follow_from_receipts_in_the_log_and_from_whom_the_reader_trusts() -> None:
    """DE2 needs every holder's receipt, checked, from holders the reader knows; taking one away never raises it."""
    assert level(verified(at=EARLY)) == "DE2"
    assert level(check(file(), trust=trust("t1", "t2", "t3"))) == "DE1"
    for missing in HOLDERS:
        steps = [("escrow",), ("escrow_verified", *(name for name in HOLDERS if name != missing))]
        report = check(made(*steps).evidence("S1"), trust=ALL)
        assert_holds(report)
        assert level(report) == "DE1"


def test_a_level_that_was_not_reached_cannot_be_claimed() -> None:
    def claim(predicate: dict[str, Any]) -> dict[str, Any]:
        return predicate | {"assurance": predicate["assurance"] | {"disclosure": "DE2"}}

    world = made(("escrow",), hooks=Hooks(alter={"predicate": claim}))

    assert_refused(check(world.evidence("S1"), trust=ALL), AssuranceOverclaimed, 60)


def test_a_receipt_without_the_share_is_found() -> None:
    def without_proof(receipt: Any) -> Any:
        first, *rest = receipt.classes
        share, *others = first.shares
        forged = first.model_copy(update={"shares": (share.model_copy(update={"proof": encode(bytes(70))}), *others)})
        return receipt.model_copy(update={"classes": (forged, *rest)})

    world = made(hooks=Hooks(alter={"escrow_verified:t2": without_proof}))
    report = check(world.evidence("S1"), trust=ALL)

    assert_refused(report, EscrowShareInvalid, 30)
    assert level(report) == "DE1"


def test_a_receipt_by_another_is_found() -> None:
    signers: dict[str, tuple[Signer, ...]] = {"escrow_verified:t2": (p256_signer("t3", KeyUse.AGREEMENT),)}

    assert_refused(check(made(hooks=Hooks(signers=signers)).evidence("S1"), trust=ALL), SignatureInvalid, 20)


def test_a_release_before_anything_is_in_escrow_is_early() -> None:
    for before in ([("event", "LAB_CONSENT", "C2")], [("escrow", "C2")]):
        assert_refused(check(made(*before).evidence("S1"), trust=ALL), DisclosureEarly, 50)


def test_escrow_after_a_release_is_too_late() -> None:
    world = made(("event", "LAB_CONSENT", "C2"), until=[("escrow",)])

    assert_refused(check(world.evidence("S1", size=world.log.size), trust=ALL), DisclosureEarly, 50)


def test_another_key_than_the_registered_one_is_not_put_in_escrow() -> None:
    def other(manifest: EscrowManifest) -> EscrowManifest:
        return manifest.model_copy(update={"key_commitment": "0f" * 32})

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": other}))

    assert_refused(check(world.evidence("S1"), trust=ALL), KeyCommitmentMismatch, 30)


def reshare(world: World, **options: Any) -> None:
    for name, manifest in list(world.escrowed.items()):
        world_escrow.escrow(world, name, supersedes=manifest.digest, **options)


def test_after_a_resharing_only_the_new_shares_count() -> None:
    world = made()
    old = [share_release(world, name, at=LATER) for name in ("t2", "t3")]
    before = opened(world, "t2", "t3", at=LATER)
    reshare(world, without=("t3",))
    data = world.evidence("S1", size=world.log.size)
    report = check(data, trust=ALL)

    assert_holds(report)
    assert level(report) == "DE1"  # nobody has verified the new shares yet
    world_escrow.escrow_verified(world, "t1", "t2", REGULATOR)
    after = world.evidence("S1", size=world.log.size)
    with pytest.raises(AttributionFailed):
        combined(*old, data=after)
    assert_refused(check(after, trust=ALL, request=Request(at=LATER, escrow=(before,))), AttributionFailed, 30)
    assert level(check(after, trust=ALL)) == "DE2"
    release = opened(world, "t1", "t2", at=LATER)
    assert_holds(check(after, trust=ALL, request=Request(at=LATER, escrow=(release,))))


def test_shares_that_nobody_has_proved_take_no_others_out_of_force() -> None:
    """An auditor that withholds deals anew, to fewer and what opens nothing: what holders have opens still."""
    world = made()
    old = [share_release(world, name, at=LATER) for name in ("t2", "t3")]
    before = opened(world, "t2", "t3", at=LATER)
    reshare(world, without=("t3",))
    world_escrow.escrow_verified(world, "t1", REGULATOR)
    data = world.evidence("S1", size=world.log.size)

    assert level(check(data, trust=ALL)) == "DE1"
    assert combined(*old, data=data).holders == ("t2", "t3")
    assert_holds(check(data, trust=ALL, request=Request(at=LATER, escrow=(before,))))


def test_a_dealing_that_follows_no_other_is_refused() -> None:
    world = made(("escrow",), ("escrow", "C2"))

    assert_refused(check(world.evidence("S1"), trust=ALL), CommitmentMismatch, 30)


def test_an_agreement_whose_escrow_cannot_work_is_refused() -> None:
    orders = {"branches": [{"id": "o", "groups": [{"need": 2, "of": ["t1", "t2"]}], "opens": ["order"]}]}
    world = made(("event", "LAB_CONSENT", "C2"), agreement=world_escrow.agreement(structure=orders))

    report = check(world.evidence("S1"), trust=ALL)
    assert report.exit_code == 10
    assert any("escrow cannot work" in item.detail for item in report.checks)


def test_a_dealer_that_wraps_another_key_of_its_own_is_blamed() -> None:
    """It opens, and is not the registered key: a second opening of the ciphertext is not to be had this way."""

    def other(manifest: EscrowManifest) -> EscrowManifest:
        wrong = put_in_escrow(
            world_escrow.agreement(),
            suite_key("another").class_key("C2"),
            digest=manifest.agreement,
            made_at=manifest.made_at,
            randomness=randomness("other"),
        )
        return wrong.model_copy(update={"key_commitment": manifest.key_commitment})

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": other}))
    with pytest.raises(KeyCommitmentMismatch, match="another key than the registered one"):
        opened(world, "t1", REGULATOR)


def test_a_dealer_that_seals_a_share_off_the_polynomial_is_found_by_its_holder() -> None:
    def off(manifest: EscrowManifest) -> EscrowManifest:
        place = Place("trustees", 0, 3)
        info = share_info(agreement=manifest.agreement, content_class="C2", place=place, holder="t3")
        box = encode(seal_to(receive_key("t3").public, info, scalar_bytes(12345)))
        first, last = manifest.branches
        group = last.groups[0]
        shares = (*group.shares[:2], group.shares[2].model_copy(update={"box": box}))
        return manifest.model_copy(
            update={
                "branches": (
                    first,
                    last.model_copy(update={"groups": (group.model_copy(update={"shares": shares}),)}),
                )
            }
        )

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": off}))
    with pytest.raises(EscrowShareInvalid, match="not the one that was committed to"):
        world_escrow.receipt(world, "t3")


def test_a_dealing_of_another_structure_is_refused_by_every_reader() -> None:
    def fewer(manifest: EscrowManifest) -> EscrowManifest:
        return manifest.model_copy(update={"branches": manifest.branches[:1]})

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": fewer}))

    assert_refused(check(world.evidence("S1"), trust=ALL), MalformedEnvelope, 10)


def test_a_receipt_for_fewer_shares_than_were_dealt_is_none() -> None:
    def one(receipt: Any) -> Any:
        first, *rest = receipt.classes
        return receipt.model_copy(update={"classes": (first.model_copy(update={"shares": first.shares[:1]}), *rest)})

    world = made(hooks=Hooks(alter={"escrow_verified:t1": one}))

    assert_refused(check(world.evidence("S1"), trust=ALL), EscrowShareInvalid, 30)


def test_a_file_of_shares_of_another_agreement_is_refused() -> None:
    other = made(("escrow",), agreement=world_escrow.agreement(engagement="audit-2"))
    leaves = [parse_entry(line) for line in other.log.prefix(other.log.size).splitlines()]
    manifests = [leaf.documents[0] for leaf in leaves if leaf.kind == "escrow"]
    parties = read_agreement(silent().envelope, ALL)
    assert open_manifests(manifests, read_agreement(other.envelope, ALL), holder="t1")
    with pytest.raises(AttributionFailed):
        open_manifests(manifests, parties, holder="t1")
    with pytest.raises(MalformedEnvelope):
        open_manifests([*manifests, manifests[0]], read_agreement(other.envelope, ALL), holder="t1")
    with pytest.raises(MalformedEnvelope):
        open_manifests(manifests, read_agreement(other.envelope, ALL), holder="nobody")


@pytest.mark.parametrize("other", ["t2", "auditor.example"])
def test_two_holders_of_one_key_are_one_holder(other: str) -> None:
    """A quorum of one: two names, or the auditor itself under another."""
    usual = world_escrow.agreement()
    key = next(key for party in usual.parties if party.id == other for key in party.keys if key.use == "agreement")
    parties = tuple(
        party.model_copy(update={"keys": (key, *party.keys[1:])}) if party.id == "t1" else party
        for party in usual.parties
    )
    with pytest.raises(PolicyUnsatisfiable):
        check_acceptable(usual.model_copy(update={"parties": parties}))
