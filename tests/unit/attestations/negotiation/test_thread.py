"""The rules both sides keep to: offers replace one another, an acceptance locks, only the same text concludes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from attestations.documents.negotiation import Offer
from attestations.envelope import sign_document
from attestations.errors import (
    AgreementDigestMismatch,
    MissingRoleSignature,
    OfferExpired,
    OfferSuperseded,
    PhaseViolation,
    PolicyUnsatisfiable,
    PrevHashMismatch,
    SignatureInvalid,
    SignatureLocked,
    SignerRoleMismatch,
)
from attestations.policy.model import Policy, Rule
from attestations.states import Negotiation
from tests.support.endpoints import NOW, Endpoint, agreed, body
from tests.support.world_agreement import keys

LATER = NOW + timedelta(hours=2)


def pair() -> tuple[Endpoint, Endpoint]:
    return Endpoint("auditor"), Endpoint("lab")


@pytest.mark.parametrize("offeror", ["auditor", "lab"])
def test_either_side_may_offer_and_both_end_with_the_same_agreement(offeror: str) -> None:
    """I1: the agreement in force carries both signatures."""
    auditor, lab = pair()
    ours, theirs = (auditor, lab) if offeror == "auditor" else (lab, auditor)
    theirs.hear(ours.offer(body()))
    ours.hear(theirs.offer(body(1)))
    theirs.hear(ours.accept())
    ours.hear(theirs.conclude())

    assert auditor.thread.in_force == lab.thread.in_force
    assert auditor.thread.in_force is not None
    assert auditor.thread.in_force.agreement == body(1)
    assert auditor.thread.state is lab.thread.state is Negotiation.CONCLUDED


def test_accepting_an_offer_that_was_replaced_is_refused_at_the_other_side() -> None:
    """T017."""
    auditor, lab = pair()
    lab.hear(auditor.offer(body()))
    auditor.offer(body(1))
    accepted = lab.accept()

    with pytest.raises(OfferSuperseded):
        auditor.hear(accepted)
    assert auditor.thread.in_force is None


def test_accepting_after_its_time_is_refused_on_both_sides() -> None:
    """T018."""
    auditor, lab = pair()
    offer = lab.offer(body(), hours=1)
    auditor.hear(offer)
    accepted = auditor.accept()

    with pytest.raises(OfferExpired):
        lab.hear(accepted, LATER)
    with pytest.raises(OfferExpired):
        Endpoint("auditor").hear(offer, LATER)
    with pytest.raises(PhaseViolation):
        auditor.crashed().accept(LATER)


def test_whoever_has_accepted_signs_nothing_else_until_it_ends() -> None:
    """T019."""
    auditor, lab = pair()
    auditor.hear(lab.offer(body()))
    before = auditor.crashed()
    auditor.accept()
    for say in (
        lambda: auditor.offer(body(1)),
        lambda: auditor.say(auditor.voice.reject(auditor.thread, "no", NOW)),
    ):
        with pytest.raises(SignatureLocked):
            say()

    # One that breaks its own lock is refused by the other side.
    lab.hear(auditor.at().entries[-1].documents)
    with pytest.raises(SignatureLocked):
        lab.hear(before.offer(body(1)))
    with pytest.raises(SignatureLocked):
        lab.say(lab.voice.withdraw(lab.thread, NOW))


def test_the_lock_ends_with_the_offer_and_is_noted() -> None:
    auditor, lab = pair()
    auditor.hear(lab.offer(body()))
    auditor.accept()

    assert auditor.at(LATER).thread.state is Negotiation.NONE
    auditor.offer(body(1), now=LATER)
    assert [entry.note for entry in auditor.at(LATER).entries] == ["", "", "expired", ""]


def test_two_acceptances_that_cross_bring_nothing_into_force() -> None:
    """T020: at most one is active; here neither, and both learn why."""
    auditor, lab = pair()
    ours, theirs = auditor.offer(body(1)), lab.offer(body(2))
    auditor.hear(theirs)
    lab.hear(ours)
    by_auditor, by_lab = auditor.accept(), lab.accept()

    with pytest.raises(OfferSuperseded):
        auditor.hear(by_lab)
    with pytest.raises(OfferSuperseded):
        lab.hear(by_auditor)
    assert auditor.thread.in_force is lab.thread.in_force is None
    assert auditor.at(LATER).thread.state is lab.at(LATER).thread.state is Negotiation.NONE


def test_concluding_another_text_than_the_accepted_one_is_refused() -> None:
    """T021."""
    auditor, lab = pair()
    auditor.hear(lab.offer(body()))
    auditor.accept()
    other = sign_document(body(9), keys().lab_agreement, keys().agreement)

    with pytest.raises(AgreementDigestMismatch):
        auditor.hear((other.to_bytes(),))
    alone = sign_document(body(), keys().lab_agreement)
    with pytest.raises(MissingRoleSignature):
        auditor.hear((alone.to_bytes(),))


def test_concluding_after_the_acceptance_has_ended_is_refused() -> None:
    auditor, lab = pair()
    lab.hear(auditor.offer(body()))
    auditor.hear(lab.accept())
    concluded = auditor.conclude()

    with pytest.raises(OfferExpired):
        lab.hear(concluded, LATER)


def test_a_withdrawn_or_rejected_offer_cannot_be_accepted() -> None:
    auditor, lab = pair()
    lab.hear(auditor.offer(body()))
    accepted = lab.crashed().accept()
    lab.hear(auditor.say(auditor.voice.withdraw(auditor.thread, NOW)))
    with pytest.raises(PhaseViolation):
        lab.accept()
    with pytest.raises(OfferSuperseded):
        auditor.hear(accepted)

    lab.hear(auditor.offer(body(1)))
    auditor.hear(lab.say(lab.voice.reject(lab.thread, "too much", NOW)))
    assert auditor.thread.state is lab.thread.state is Negotiation.NONE


def test_each_side_withdraws_its_own_and_rejects_the_others() -> None:
    auditor, lab = pair()
    lab.hear(auditor.offer(body()))
    with pytest.raises(SignerRoleMismatch):
        lab.say(lab.voice.withdraw(lab.thread, NOW))
    with pytest.raises(SignerRoleMismatch):
        auditor.accept()


def test_offers_are_a_chain() -> None:
    auditor, lab = pair()
    first = auditor.offer(body())
    second = auditor.offer(body(1))
    with pytest.raises(PrevHashMismatch):
        lab.hear(second)
    lab.hear(first)
    lab.hear(second)
    lab.hear(first)  # a repeated message changes nothing

    table = lab.thread.table
    assert table is not None
    assert (table.offer.n, table.offer.body) == (1, body(1))
    stale = Offer(n=1, previous=table.offer.previous, valid_until=table.offer.valid_until, body=body(2))
    with pytest.raises(OfferSuperseded):
        lab.hear((sign_document(stale, keys().agreement).to_bytes(),))


def test_a_policy_that_breaks_a_rule_is_refused_by_whoever_is_asked() -> None:
    veto = Rule.model_validate({"id": "veto", "class": "C2", "to": "REGULATOR", "permit": "LAB_CONSENT(C2)"})
    wrong = body(policy=Policy(rules=(veto,)))
    for endpoint in pair():
        with pytest.raises(PolicyUnsatisfiable):
            endpoint.offer(wrong)


def test_messages_are_by_the_side_they_say() -> None:
    auditor, lab = pair()
    theirs = sign_document(Offer(n=0, previous=None, valid_until="2026-11-02T10:00:00Z", body=body()), keys().exchange)
    with pytest.raises(SignerRoleMismatch):
        lab.hear((theirs.to_bytes(),))
    outsider = sign_document(
        Offer(n=0, previous=None, valid_until="2026-11-02T10:00:00Z", body=body()), keys().outsider
    )
    with pytest.raises(SignatureInvalid):
        lab.hear((outsider.to_bytes(),))
    assert auditor.thread == lab.thread


def test_in_force_only_an_amendment_may_follow() -> None:
    """I2: one agreement an engagement."""
    auditor, lab = agreed()
    with pytest.raises(OfferSuperseded):
        auditor.offer(body(1))
    with pytest.raises(AgreementDigestMismatch):
        lab.offer(body(1).model_copy(update={"supersedes": "99" * 32}))


def test_a_termination_needs_both_or_a_clause() -> None:
    auditor, lab = agreed()
    asked = lab.say(lab.voice.terminate(lab.thread, grounds="both", reason="", effective=NOW, now=NOW))
    auditor.hear(asked)
    assert auditor.thread.terminated is None
    lab.hear(auditor.say(auditor.voice.terminate(auditor.thread, grounds="both", reason="", effective=NOW, now=NOW)))
    assert auditor.thread.state is lab.thread.state is Negotiation.TERMINATED

    auditor, _ = agreed()
    with pytest.raises(SignerRoleMismatch):
        auditor.say(auditor.voice.terminate(auditor.thread, grounds="clause", reason="", effective=NOW, now=NOW))


def test_a_clause_lets_one_side_end_it_after_its_notice() -> None:
    clauses = {"termination": {"by": "auditor", "noticeDays": 10}}
    auditor, lab = agreed(first=body(clauses=clauses))
    for days, allowed in ((9, False), (10, True)):
        message = auditor.voice.terminate(
            auditor.thread, grounds="clause", reason="", effective=NOW + timedelta(days=days), now=NOW
        )
        if allowed:
            lab.hear(auditor.say(message))
        else:
            with pytest.raises(AgreementDigestMismatch):
                auditor.say(message)
    with pytest.raises(PhaseViolation):
        lab.say(lab.voice.terminate(lab.thread, grounds="clause", reason="", effective=NOW, now=NOW))
    assert lab.thread.state is Negotiation.TERMINATED
