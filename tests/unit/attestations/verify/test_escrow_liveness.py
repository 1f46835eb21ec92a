"""I8: every delivered obliged item is released if one quorum of holders is honest, whatever the others do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.documents.base import format_time
from attestations.documents.escrow import LivenessAnswer, LivenessChallenge, ShareRelease
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    AttributionFailed,
    EscrowQuorumUnmet,
    EscrowShareInvalid,
    MalformedEnvelope,
    SafeconductError,
    SignatureInvalid,
)
from attestations.escrow import liveness
from attestations.escrow.combining import gather, open_release, recover
from attestations.escrow.holding import OwnShare, hand_over, open_shares
from attestations.escrow.released import make_escrow_release
from attestations.keys import KeyUse
from attestations.verify.engine import Request
from tests.support import world_escrow
from tests.support.escrow_story import file, silent
from tests.support.reports import assert_holds
from tests.support.world import check
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import DUE, HOLDERS, REGULATOR, receive_key, share_release, trust

LATER = DUE + timedelta(days=1)
BEHAVIOURS = ("honest", "silent", "bad share", "wrong box", "another's share", "garbage")
QUORUMS = ({REGULATOR, "t1"}, {REGULATOR, "t2"}, {"t1", "t2"}, {"t1", "t3"}, {"t2", "t3"})


def behaves(name: str, how: str) -> Envelope | None:
    """What a holder sends, honest or not; it is always signed by that holder."""
    if how == "silent":
        return None
    honest = share_release(silent(), name, at=LATER)
    if how == "honest":
        return honest
    document, manifest = ShareRelease.parse(honest.payload), silent().escrowed["C2"]
    if how == "garbage":
        return sign_document(document.model_copy(update={"manifest": "0f" * 32}), p256_signer(name, KeyUse.AGREEMENT))
    shares = list(open_shares(manifest.document, receive_key(name), holder=name))
    to = world_escrow.holder(REGULATOR).key(KeyUse.RECEIVE)
    if how == "bad share":
        shares = [OwnShare(share.place, share.scalar ^ 1) for share in shares]
    elif how == "another's share":
        # In a group of which one is enough all hold the same share; only "trustees" has one for each.
        stranger = next(other for other in ("t1", "t2") if other != name)
        theirs = open_shares(manifest.document, receive_key(stranger), holder=stranger)
        borrowed = next(share.scalar for share in theirs if share.place.branch == "trustees")
        shares = [OwnShare(share.place, borrowed) for share in shares]
    else:
        to = world_escrow.holder("t3").key(KeyUse.RECEIVE)
    handed = tuple(
        share.model_copy(update={"to": REGULATOR})
        for share in hand_over(shares, manifest=manifest.digest, holder=name, to=[to])
    )
    return sign_document(document.model_copy(update={"shares": handed}), p256_signer(name, KeyUse.AGREEMENT))


def opened_by(sent: Mapping[str, Envelope]) -> tuple[Any, list[str]]:
    """What an honest recipient gets out of what holders sent: what is no release is thrown away first."""
    world, manifest = silent(), silent().escrowed["C2"]
    releases, refused = {}, []
    for name, envelope in sent.items():
        try:
            releases[name] = open_release(envelope, world.agreement, manifest)
        except SafeconductError:
            refused.append(name)
    gathered = gather(releases.values(), manifest, own=REGULATOR, key=receive_key(REGULATOR))
    combined = recover(gathered, manifest, suite_id=world.key.suite_id)
    file = make_escrow_release(combined, [sent[name] for name in releases if name not in gathered.faults])
    return file, [*refused, *gathered.faults]


@given(st.fixed_dictionaries({name: st.sampled_from(BEHAVIOURS) for name in HOLDERS}))
@settings(max_examples=60)
def test_one_honest_quorum_is_enough_and_nothing_less_is(how: dict[str, str]) -> None:
    honest = {name for name in HOLDERS if how[name] == "honest"}
    sent = {name: envelope for name in HOLDERS if (envelope := behaves(name, how[name])) is not None}
    if any(quorum <= honest for quorum in QUORUMS):
        release, blamed = opened_by(sent)
        assert set(blamed) == {name for name in sent if name not in honest}
        assert release.key == silent().key.class_key("C2").secret.hex()
    else:
        with pytest.raises((EscrowQuorumUnmet, EscrowShareInvalid)):
            opened_by(sent)


@pytest.mark.parametrize("quorum", QUORUMS, ids=sorted)
def test_what_an_honest_quorum_opens_holds_for_every_reader(quorum: set[str]) -> None:
    """I8, I9: released, and exactly what was registered."""
    others = {name: "bad share" for name in HOLDERS if name not in quorum}
    how = dict.fromkeys(quorum, "honest") | others
    sent = {name: envelope for name in HOLDERS if (envelope := behaves(name, how[name])) is not None}
    release, _ = opened_by(sent)

    assert_holds(check(file(), trust=trust(*HOLDERS), request=Request(at=LATER, escrow=(release,))))


def challenge(by: str, to: str, *, at: datetime = DUE, **changes: Any) -> Envelope:
    document = LivenessChallenge(
        agreement=silent().run.digest,
        by=by,
        holder=to,
        nonce=os.urandom(32).hex(),
        asked_at=format_time(at),
        answer_by=format_time(at + timedelta(days=7)),
    ).model_copy(update=changes)
    return sign_document(document, p256_signer(by, KeyUse.AGREEMENT))


def answered(asked: Envelope, name: str = "t1", *, at: datetime = DUE, **changes: Any) -> Envelope:
    world = silent()
    question = liveness.open_challenge(asked, world.agreement, world.run.digest)
    document = liveness.answer(
        asked,
        question,
        list(world.escrowed.values()),
        receive_key(name),
        holder=name,
        at=format_time(at),
    )
    return sign_document(document.model_copy(update=changes), p256_signer(name, KeyUse.AGREEMENT))


def checked(answer: Envelope, asked: Envelope) -> LivenessAnswer:
    world = silent()
    manifests = list(world.escrowed.values())
    return liveness.check_answer(answer, asked, manifests, agreement=world.agreement, digest=world.run.digest)


@pytest.mark.parametrize("by", [REGULATOR, "t2", "lab.example", "auditor.example"])
def test_any_party_may_ask_a_holder_and_anyone_can_check_the_answer(by: str) -> None:
    asked = challenge(by, "t1")

    assert checked(answered(asked), asked).holder == "t1"


def test_an_answer_serves_once_and_in_time_and_for_every_class() -> None:
    first, second = challenge(REGULATOR, "t1"), challenge(REGULATOR, "t1")
    answer = answered(first)
    with pytest.raises(AttributionFailed):
        checked(answer, second)
    with pytest.raises(AttributionFailed):
        checked(answered(first, at=DUE + timedelta(days=8)), first)
    one = LivenessAnswer.parse(answer.payload).classes[:1]
    with pytest.raises(EscrowShareInvalid):
        checked(answered(first, classes=one), first)
    replayed = LivenessAnswer.parse(answer.payload).classes
    with pytest.raises(EscrowShareInvalid):
        checked(answered(second, classes=replayed), second)


def test_who_has_lost_its_key_or_is_another_cannot_answer() -> None:
    asked = challenge(REGULATOR, "t1")
    with pytest.raises(AttributionFailed):
        answered(asked, "t2")
    world = silent()
    question = liveness.open_challenge(asked, world.agreement, world.run.digest)
    with pytest.raises(EscrowShareInvalid):
        liveness.answer(
            asked, question, list(world.escrowed.values()), receive_key("t2"), holder="t1", at=question.asked_at
        )


def test_strangers_and_other_agreements_ask_in_vain() -> None:
    world = silent()
    with pytest.raises(SignatureInvalid):
        liveness.open_challenge(challenge("nobody.example", "t1"), world.agreement, world.run.digest)
    with pytest.raises(AttributionFailed):
        liveness.open_challenge(challenge(REGULATOR, "t1", agreement="0a" * 32), world.agreement, world.run.digest)
    with pytest.raises((SignatureInvalid, MalformedEnvelope)):
        checked(answered(challenge(REGULATOR, "t1")), challenge(REGULATOR, "nobody"))
