"""Whether a holder still holds its shares: a signed question with a fresh number, and proofs made with the shares."""

from __future__ import annotations

from collections.abc import Sequence

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.documents.escrow import EscrowVerified, LivenessAnswer, LivenessChallenge
from attestations.envelope import Envelope, open_document
from attestations.errors import AttributionFailed, EscrowShareInvalid, KeyUnacceptable, SignatureInvalid
from attestations.escrow.dealing import holder_of
from attestations.escrow.holding import LoggedManifest, check_held, places, prove_held
from attestations.keys import EnrolledKey, KeyUse
from attestations.sealing import WorkerKey


def verified(
    manifests: Sequence[LoggedManifest], key: WorkerKey, *, holder: str, agreement: str, at: str
) -> EscrowVerified:
    """Return a holder's receipt, after every one of its shares has been checked.

    Raises:
        EscrowShareInvalid: a share is not the committed one, or there is none for this holder.
    """
    held = prove_held(manifests, key, holder=holder)
    if not held:
        raise EscrowShareInvalid(f"there is no share for {holder}", holder=holder)
    return EscrowVerified(agreement=agreement, holder=holder, classes=held, verified_at=at)


def open_challenge(envelope: Envelope, agreement: Agreement, digest: str) -> LivenessChallenge:
    """Return a question that a party of the agreement has signed.

    Raises:
        SignatureInvalid: it is by nobody the agreement names.
        AttributionFailed: it is about another agreement.
    """
    # Read before it is verified only to learn whose key must have signed it; then opened under exactly that.
    claimed = LivenessChallenge.parse(envelope.payload)
    challenge = open_document(envelope, LivenessChallenge, required=(_key(agreement, claimed.by),))
    if challenge.agreement != digest:
        raise AttributionFailed("a question about another agreement", by=challenge.by)
    return challenge


def answer(
    envelope: Envelope,
    challenge: LivenessChallenge,
    manifests: Sequence[LoggedManifest],
    key: WorkerKey,
    *,
    holder: str,
    at: str,
) -> LivenessAnswer:
    """Return a holder's answer.

    Raises:
        AttributionFailed: the question is for another holder.
        EscrowShareInvalid: the holder can no longer open a share of its own.
    """
    if challenge.holder != holder:
        raise AttributionFailed("a question for another holder", holder=challenge.holder)
    held = prove_held(manifests, key, holder=holder, challenge=envelope.digest)
    if not held:
        raise EscrowShareInvalid(f"there is no share for {holder}", holder=holder)
    return LivenessAnswer(
        agreement=challenge.agreement, holder=holder, challenge=envelope.digest, classes=held, answered_at=at
    )


def check_answer(
    envelope: Envelope,
    asked: Envelope,
    manifests: Sequence[LoggedManifest],
    *,
    agreement: Agreement,
    digest: str,
) -> LivenessAnswer:
    """Check that a holder has answered this question with every share it was dealt.

    Raises:
        AttributionFailed: it answers another question, or too late.
        EscrowShareInvalid: a share is not shown to be held.
        SignatureInvalid: it is not signed by the holder that was asked.
    """
    challenge = open_challenge(asked, agreement, digest)
    key = holder_of(agreement, challenge.holder).key(KeyUse.AGREEMENT)
    found = open_document(envelope, LivenessAnswer, required=(key,))
    if (found.agreement, found.holder, found.challenge) != (digest, challenge.holder, asked.digest):
        raise AttributionFailed("an answer to another question", holder=challenge.holder)
    if parse_time(found.answered_at) > parse_time(challenge.answer_by):
        raise AttributionFailed(f"{found.holder} answered too late", holder=found.holder)
    shown = {held.manifest: held for held in found.classes}
    for manifest in manifests:
        if not places(manifest.document, found.holder):
            continue
        held = shown.get(manifest.digest)
        if held is None:
            raise EscrowShareInvalid(f"{found.holder} has not shown its share of a class", holder=found.holder)
        check_held(held, manifest, holder=found.holder, challenge=asked.digest)
    return found


def _key(agreement: Agreement, name: str) -> EnrolledKey:
    for party in agreement.parties:
        if party.id == name:
            try:
                return party.key(KeyUse.AGREEMENT)
            except KeyUnacceptable:
                break
    raise SignatureInvalid("a question by nobody whom the agreement names with a key", by=name)
