"""An auditor that falls silent: a quorum of holders opens what it owes, and a reader sees that it was owed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from attestations.container import Container
from attestations.documents.base import encode
from attestations.documents.escrow import EscrowManifest, ShareRelease
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    CommitmentMismatch,
    DisclosureEarly,
    DisclosureForbidden,
    DisclosureOverdue,
    EscrowQuorumUnmet,
    EscrowShareInvalid,
    EvidenceMissing,
    KeyCommitmentMismatch,
    KeyRevoked,
    LogEquivocation,
    MalformedEnvelope,
    PackageDecryptFailed,
)
from attestations.escrow.released import EscrowRelease
from attestations.keys import KeyUse
from attestations.policy.defaults import standard_policy
from attestations.trust import RevokedKey
from attestations.verify.engine import Request
from attestations.verify.holder import Holder, combine_releases, prepare_release
from tests.support import world_escrow
from tests.support.escrow_story import ALL, LATER, combined, file, made, prepared, silent, verified
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World, check, run_steps
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import DUE, EARLY, HOLDERS, REGULATOR, opened, receive_key, share_release
from tests.support.world_log import Hooks


def test_nothing_is_overdue_while_there_is_time() -> None:
    assert_holds(verified(at=EARLY))


def test_what_is_withheld_is_overdue() -> None:
    """T092, first half."""
    assert_refused(verified(at=DUE), DisclosureOverdue, 51)


@pytest.mark.parametrize(("people", "at"), [((REGULATOR, "t1"), DUE), (("t2", REGULATOR), DUE), (("t2", "t3"), LATER)])
def test_a_quorum_opens_what_is_withheld_and_nothing_is_owed_any_more(people: tuple[str, ...], at: datetime) -> None:
    """T092, second half: before 51, after 0, and the figures are there as if they had been released."""
    assert_refused(verified(at=at), DisclosureOverdue, 51)
    report = verified(opened(silent(), *people, at=at), at=at)

    assert_holds(report)
    assert [told["class"] for told in report.escrow] == ["C2"]
    assert [figure.id for figure in report.figures] == ["overall"]
    assert report.to_json()["figures"][0]["value"] == "0.7143"
    assert any("C2 was opened by escrow" in line for line in report.limitations)


def test_a_reader_is_told_of_holders_it_does_not_know() -> None:
    request = Request(at=DUE, escrow=(opened(silent(), REGULATOR, "t1"),))
    known, strange = (
        check(file(), trust=ALL, request=request),
        check(file(), trust=world_escrow.trust("t2"), request=request),
    )

    assert_holds(strange)
    assert not any("does not know" in line for line in known.limitations)
    assert any("does not know regulator.example, t1" in line for line in strange.limitations)


def test_with_the_grades_the_figures_by_category_follow_too() -> None:
    at = datetime(2026, 11, 20, 9, tzinfo=UTC)  # C1 and C2 are owed to the public later
    two = [opened(silent(), REGULATOR, "t1", content_class=name, at=at) for name in ("C2", "C3")]
    report = verified(*two, at=datetime(2026, 11, 20, 10, tzinfo=UTC))

    assert {"overall"} < {figure.id for figure in report.figures}
    assert report.exit_code == 51  # C1 has no key: what is owed to the public stays owed
    assert {check.detail for check in report.checks if check.exit_code == 51} == {
        "C1 is owed to PUBLIC and has not been released"
    }


def test_holders_check_decide_release_and_a_regulator_opens() -> None:
    """T092 by the holders' own functions, with the real verifier and policy behind them."""
    found = combined(prepared("t1"), prepared(REGULATOR))

    assert (found.recipient, found.holders, found.faults) == ("REGULATOR", (REGULATOR, "t1"), ())
    assert_holds(verified(found.release, at=LATER))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at": EARLY}, "not surely overdue"),
        ({"at": LATER + timedelta(days=1)}, "has not come"),
        ({"rule_id": "c3-regulator"}, "no rule"),
        ({"rule_id": "c9-nobody"}, "no rule"),
        ({"content_class": "C7", "rule_id": "c7-regulator"}, "C7"),
        ({"content_class": "C3", "rule_id": "c3-regulator"}, "not surely overdue"),
    ],
)
def test_a_holder_refuses_what_is_not_due(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((DisclosureForbidden, EvidenceMissing), match=said):
        prepared("t1", **changes)


def test_a_holder_refuses_what_has_been_released() -> None:
    world = made(until=[("until", datetime(2026, 11, 6, 9, tzinfo=UTC)), ("release", "S2", "C2", "REGULATOR")])
    with pytest.raises(DisclosureForbidden, match="has been released"):
        prepared("t1", world.evidence("S2"))


def test_a_holder_refuses_evidence_that_does_not_hold() -> None:
    world = made(hooks=Hooks(signers={"close": (p256_signer("x", KeyUse.RECORD),)}))
    with pytest.raises(CommitmentMismatch):
        prepared("t1", world.evidence("S1"))


def test_a_breach_by_the_auditor_does_not_save_it_from_holders() -> None:
    """One class released a day too early must not be what keeps all the others closed."""
    early = [("until", datetime(2026, 11, 6, 9, tzinfo=UTC)), ("release", "S5", "C7", "REGULATOR")]
    world = made(until=early)
    data = world.evidence("S1", size=world.build().log.size)
    assert check(data, trust=ALL).exit_code == 50
    assert combined(prepared("t1", data), prepared(REGULATOR, data), data=data).holders == (REGULATOR, "t1")


def test_one_bad_branch_does_not_keep_a_quorum_from_another() -> None:
    """The auditor wraps noise for the first branch and the key for the second."""

    def noise(manifest: EscrowManifest) -> EscrowManifest:
        first, *others = manifest.branches
        bad = first.model_copy(update={"wrapped": encode(bytes(48))})
        return manifest.model_copy(update={"branches": (bad, *others)})

    world = made(("escrow",), hooks=Hooks(alter={"escrow:C2": noise}))
    with pytest.raises(KeyCommitmentMismatch):
        opened(world, "t1", REGULATOR, at=LATER)
    release = opened(world, "t1", "t2", REGULATOR, at=LATER)
    assert {share.branch for share in release.shares} == {"trustees"}
    assert_holds(check(world.evidence("S1"), trust=ALL, request=Request(at=LATER, escrow=(release,))))


def test_the_grace_of_a_branch_keeps_its_shares_back() -> None:
    with pytest.raises(EvidenceMissing, match="holds no share"):
        prepared("t3", at=datetime(2026, 11, 11, 12, tzinfo=UTC))
    release = prepared("t1", at=datetime(2026, 11, 11, 12, tzinfo=UTC))
    assert b'"branch":"trustees"' not in release.payload


def test_another_holders_key_signs_nothing() -> None:
    impostor = Holder("t1", p256_signer("t2", KeyUse.AGREEMENT), receive_key("t1"))
    with pytest.raises(CommitmentMismatch):
        prepare_release(
            Container(BytesIO(file())),
            "0c" * 32,
            impostor,
            ALL,
            content_class="C2",
            rule_id="c2-regulator",
            at=LATER,
            now=LATER,
        )


@pytest.mark.parametrize("people", [(REGULATOR,), ("t1",), ("t3",), (REGULATOR, "t3")])
def test_too_few_holders_open_nothing(people: tuple[str, ...]) -> None:
    """T104: the regulator alone, a trustee alone, and two who meet no branch."""
    with pytest.raises(EscrowQuorumUnmet) as caught:
        combined(*(prepared(name) for name in people))
    assert caught.value.exit_code == 80


def test_whoever_is_not_the_recipient_opens_nothing_with_everybodys_releases() -> None:
    """A holder never learns more than its share: what others release is sealed to the recipient."""
    envelopes = [prepared(name) for name in HOLDERS]
    for own, key in ((None, None), ("t1", receive_key("t1"))):
        with pytest.raises(EscrowQuorumUnmet):
            combine_releases(Container(BytesIO(file())), envelopes, ALL, own=own, key=key)
    with pytest.raises(EscrowShareInvalid):
        combine_releases(Container(BytesIO(file())), envelopes, ALL, own=REGULATOR, key=receive_key("t1"))


def bad(name: str) -> Envelope:
    """A holder's release whose shares are one bit off, properly sealed and signed."""
    from attestations.escrow.holding import OwnShare, hand_over, open_shares

    manifest = silent().escrowed["C2"]
    shares = [
        OwnShare(share.place, share.scalar ^ 1)
        for share in open_shares(manifest.document, receive_key(name), holder=name)
    ]
    to = [world_escrow.holder(REGULATOR).key(KeyUse.RECEIVE)]
    good = ShareRelease.parse(share_release(silent(), name, at=LATER).payload)
    handed = tuple(hand_over(shares, manifest=manifest.digest, holder=name, to=to))
    return sign_document(good.model_copy(update={"shares": handed}), p256_signer(name, KeyUse.AGREEMENT))


def test_a_bad_share_names_its_trustee_and_another_quorum_works() -> None:
    """T105."""
    with pytest.raises(EscrowShareInvalid) as caught:
        combined(bad("t1"), prepared(REGULATOR))
    assert caught.value.facts["holder"] == "t1"

    found = combined(bad("t1"), prepared(REGULATOR), prepared("t2"))

    assert [fault.facts["holder"] for fault in found.faults] == ["t1"]
    assert found.holders == (REGULATOR, "t2")
    assert_holds(verified(found.release, at=LATER))


def garbage(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


def test_a_garbage_package_is_found_when_holders_open_it() -> None:
    """T093: what was sealed and signed for never opens, and the manifest agrees with the garbage."""
    import hashlib

    from attestations.merkle import leaf_hash, merkle_root
    from attestations.packages import iter_package

    def fitting(document: Any) -> Any:
        packages = []
        for package in document.packages:
            if package.content_class == "C2":
                data = world.disclosure.packages["C2"]
                root = merkle_root(leaf_hash(chunk) for chunk in iter_package([data])).hex()
                changes = {"ciphertext_root": root, "file_digest": hashlib.sha256(data).hexdigest()}
                package = package.model_copy(update=changes)  # noqa: PLW2901
            packages.append(package)
        return document.model_copy(update={"packages": tuple(packages)})

    world = World(agreement=world_escrow.agreement(), hooks=Hooks(alter={"package:C2": garbage, "manifest": fitting}))
    world.steps = [*run_steps(len(world.exchanges)), *world_escrow.steps()]
    data = world.build().evidence("S1")

    with pytest.raises(PackageDecryptFailed):
        combined(prepared("t1", data), prepared(REGULATOR, data), data=data)
    report = check(data, trust=ALL, request=Request(at=LATER, escrow=(opened(world, "t1", REGULATOR, at=LATER),)))
    assert_refused(report, PackageDecryptFailed, 30)


def test_a_release_before_it_was_due_is_a_breach() -> None:
    report = verified(opened(silent(), "t1", REGULATOR, at=EARLY), at=DUE)

    assert_refused(report, DisclosureEarly, 50)
    assert not report.escrow


def test_a_release_within_the_skew_decides_nothing() -> None:
    just = datetime(2026, 11, 11, 9, 0, 2, tzinfo=UTC)
    report = verified(opened(silent(), "t1", REGULATOR, at=just), at=just)

    assert_refused(report, EvidenceMissing, 70)


def test_a_release_later_than_the_time_judged_at_changes_nothing() -> None:
    report = verified(opened(silent(), "t1", REGULATOR, at=LATER), at=DUE)

    assert_refused(report, DisclosureOverdue, 51)


def test_a_release_for_no_obligation_is_a_breach() -> None:
    changes: dict[str, Any]
    for changes in ({"rule": "c3-regulator"}, {"rule": "nothing"}, {"recipient": "LAB_ALL", "rule": "c2-lab_all"}):
        envelopes = [share_release(silent(), name, at=DUE, **changes) for name in ("t1", REGULATOR)]
        good = opened(silent(), "t1", REGULATOR)
        report = verified(EscrowRelease("C2", good.key, tuple(envelopes), good.shares))
        assert_refused(report, DisclosureEarly, 50)


def test_a_holder_that_was_shown_another_log_has_proof_of_it() -> None:
    release = opened(silent(), "t1", REGULATOR, root="0e" * 32)

    assert_refused(verified(release), LogEquivocation, 32)


def test_a_revoked_holder_opens_nothing() -> None:
    revoked = RevokedKey(public=encode(p256_signer("t1", KeyUse.AGREEMENT).key.public), at="2026-11-10T00:00:00Z")
    known = ALL.model_copy(update={"revoked": (revoked,)})
    request = Request(at=DUE, escrow=(opened(silent(), "t1", REGULATOR),))

    assert_refused(check(file(), trust=known, request=request), KeyRevoked, 22)


def test_what_is_for_the_public_is_released_in_the_open() -> None:
    at = datetime(2026, 12, 30, 9, tzinfo=UTC)
    envelopes = [prepared(name, at=at, now=at, rule_id="c2-public") for name in ("t1", "t2")]
    found = combine_releases(Container(BytesIO(file())), envelopes, ALL, own=None, key=None)

    assert found.recipient == "PUBLIC"
    assert standard_policy().rule("C2", "PUBLIC") is not None


@pytest.mark.parametrize("change", ["key", "scalar", "foreign", "fewer"])
def test_a_tampered_release_file_opens_nothing(change: str) -> None:
    good = opened(silent(), "t1", REGULATOR)
    if change == "key":
        wrong = EscrowRelease("C2", "11" * 32, good.releases, good.shares)
    elif change == "scalar":
        share = good.shares[0].model_copy(update={"scalar": "22" * 32})
        wrong = EscrowRelease("C2", good.key, good.releases, (share, *good.shares[1:]))
    elif change == "foreign":
        wrong = EscrowRelease("C2", good.key, (good.releases[1],), good.shares)
    else:
        wrong = EscrowRelease("C2", good.key, good.releases, good.shares[:1])
    report = verified(wrong)

    assert report.exit_code != 0
    assert not report.escrow
    expected = {
        "key": "KEY_COMMITMENT_MISMATCH",
        "scalar": "ESCROW_SHARE_INVALID",
        "foreign": "ESCROW_SHARE_INVALID",
        "fewer": "ESCROW_QUORUM_UNMET",
    }
    assert expected[change] in {item.reason for item in report.checks}


def test_a_holder_hands_over_each_of_its_own_shares_once() -> None:
    good = ShareRelease.parse(share_release(silent(), "t1", at=LATER).payload)
    other = ShareRelease.parse(share_release(silent(), "t2", at=LATER).payload)
    for shares in ((*good.shares, good.shares[0]), other.shares):
        wrong = good.model_copy(update={"shares": shares})
        with pytest.raises(MalformedEnvelope):
            combined(sign_document(wrong, p256_signer("t1", KeyUse.AGREEMENT)), prepared(REGULATOR))


def test_a_branch_for_orders_opens_nothing_that_is_merely_overdue() -> None:
    pair = [{"need": 2, "of": ["t1", "t2"]}]
    structure = {
        "branches": [
            {"id": "orders", "groups": pair, "opens": ["order"]},
            {"id": "all", "groups": [{"need": 3, "of": ["t1", "t2", "t3"]}]},
        ]
    }
    world = made(("escrow",), agreement=world_escrow.agreement(structure=structure))
    release = opened(world, "t1", "t2", at=LATER)
    report = check(world.evidence("S1"), trust=ALL, request=Request(at=LATER, escrow=(release,)))

    assert_refused(report, DisclosureEarly, 50)
    assert b'"branch":"orders"' not in prepared("t1", world.evidence("S1")).payload


def test_a_later_release_by_the_auditor_does_not_mend_an_early_one_by_holders() -> None:
    later = [("until", datetime(2026, 11, 11, 8, tzinfo=UTC)), ("release", "S2", "C2", "REGULATOR")]
    world = made(until=later)
    release = opened(world, REGULATOR, "t1", at=EARLY, tree_size="1000000")
    report = check(world.evidence("S2"), trust=ALL, request=Request(escrow=(release,)))

    assert_refused(report, DisclosureEarly, 50)


def test_what_was_released_already_may_be_released_again_by_holders() -> None:
    world = made(until=[("until", datetime(2026, 11, 6, 9, tzinfo=UTC)), ("release", "S2", "C2", "REGULATOR")])
    release = opened(world, REGULATOR, "t1", at=EARLY, tree_size="1000000")

    assert_holds(check(world.evidence("S2"), trust=ALL, request=Request(at=DUE, escrow=(release,))))


def test_neither_what_is_released_nor_what_is_opened_tells_a_secret_in_its_representation() -> None:
    release = opened(silent(), "t1", REGULATOR)
    texts = [repr(release), repr(release.shares), repr(prepared("t1")), repr(combined(prepared("t1"), prepared("t2")))]

    for secret in (release.key, *(share.scalar for share in release.shares)):
        assert all(secret not in text for text in texts)
