"""Comes to an agreement with a lab: its terms, our offer, its signature lock, both signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from attestations.documents.agreement import Accept, Agreement, Offer, Party, Terms, Transport
from attestations.documents.base import format_time, parse_time
from attestations.envelope import Envelope, open_document, parse_envelope
from attestations.errors import (
    AgreementDigestMismatch,
    OfferExpired,
    PeerBindingMismatch,
    SignerRoleMismatch,
)
from attestations.escrow.dealing import check_escrow
from attestations.escrow.structure import Escrow
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.policy.lint import lint
from auditor_client.engagement import AuditorKeys, Engagement, signed
from auditor_client.ports import Clock, Journal, Lab

AGREEMENT = "agreement"
_OFFER = "offer"
_VALID = timedelta(minutes=10)  # the lab's signature lock holds as long, so it is kept short


@dataclass(frozen=True)
class Proposal:
    """What we bring to the table besides the lab's terms."""

    engagement: str
    lab: Identity
    auditor: Identity
    recipients: Sequence[Identity]
    auditor_tls: str
    lab_tls: str
    escrow: Escrow | None = None


async def propose(proposal: Proposal, *, lab: Lab, journal: Journal, keys: AuditorKeys, clock: Clock) -> Engagement:
    """Bring an agreement into force on the lab's own terms, or return the one already in force.

    Raises:
        PeerBindingMismatch: the terms pin another TLS key than the lab's identity file.
        PolicyUnsatisfiable: the lab's policy breaks a rule of the linter, or the escrow cannot work.
        TermsRefused, SignatureLocked, OfferExpired: as the lab says.
        AgreementDigestMismatch: the lab signed something else than what was offered.
    """
    concluded = journal.recall(AGREEMENT)
    if concluded is not None:
        engagement = open_engagement(concluded, keys)
        await lab.conclude(engagement.envelope)
        return engagement
    offer = await _offer(proposal, lab=lab, journal=journal, keys=keys, clock=clock)
    document = Offer.parse(offer.payload)
    answer = await lab.offer(offer)
    lab_key = proposal.lab.party().key(KeyUse.AGREEMENT)
    accept = open_document(answer.accept, Accept, required=(lab_key,))
    body = document.body.to_bytes()
    if accept.offer != offer.digest or answer.agreement.payload != body or accept.agreement != answer.agreement.digest:
        raise AgreementDigestMismatch("the lab accepted something else than was offered", offer=offer.digest)
    open_document(answer.agreement, Agreement, required=(lab_key,))
    if clock.now() > parse_time(accept.valid_until):
        raise OfferExpired("the lab's acceptance has expired", valid_until=accept.valid_until)
    ours = signed(document.body, keys.agreement)
    both = Envelope(ours.payload_type, ours.payload, (*answer.agreement.signatures, *ours.signatures))
    engagement = open_engagement(both.to_bytes(), keys)
    await journal.remember(AGREEMENT, both.to_bytes())
    await lab.conclude(both)
    return engagement


def open_engagement(data: bytes, keys: AuditorKeys) -> Engagement:
    """Return an agreement that both sides signed, with our signers.

    Raises:
        MissingRoleSignature, SignatureInvalid: not both sides signed it.
        SignerRoleMismatch: it names other keys of ours than we hold.
    """
    envelope = parse_envelope(data)
    # Parsed before it is verified only to learn which keys must have signed it; then opened under exactly these.
    claimed = Agreement.parse(envelope.payload)
    required = (claimed.lab_key(KeyUse.AGREEMENT), claimed.auditor_key(KeyUse.AGREEMENT))
    agreement = open_document(envelope, Agreement, required=required)
    ours = {
        KeyUse.AGREEMENT: keys.agreement,
        KeyUse.EXCHANGE: keys.exchange,
        KeyUse.COSIGN: keys.cosign,
        KeyUse.PUBLICATION: keys.publication,
    }
    for use, signer in ours.items():
        if agreement.auditor_key(use).public != signer.key.public:
            raise SignerRoleMismatch("the agreement names another key of ours", use=use.value)
    return Engagement(agreement, envelope, keys)


async def _offer(proposal: Proposal, *, lab: Lab, journal: Journal, keys: AuditorKeys, clock: Clock) -> Envelope:
    kept = journal.recall(_OFFER)
    n, previous = 0, None
    if kept is not None:
        envelope = parse_envelope(kept)
        earlier = Offer.parse(envelope.payload)
        if parse_time(earlier.valid_until) > clock.now() + timedelta(seconds=5):
            return envelope  # a crash lost the answer: the same offer gives the same answer
        n, previous = earlier.n + 1, envelope.digest
    terms = _terms(await lab.terms(), proposal)
    lint(terms.policy)
    now = clock.now()
    agreement = Agreement(
        engagement=proposal.engagement,
        parties=(terms.lab, proposal.auditor.party(), *(_reader(recipient) for recipient in proposal.recipients)),
        transport=Transport(gateway=terms.gateway, auditor=proposal.auditor_tls),
        variants=terms.variants,
        scope=terms.scope,
        budget=terms.budget,
        access=terms.access,
        timing=terms.timing,
        origin=f"{terms.origin_prefix.rstrip('/')}/{proposal.engagement}",
        runtime=terms.runtime,
        policy=terms.policy,
        escrow=proposal.escrow,
        created_at=format_time(now),
    )
    check_escrow(agreement)
    offer = Offer(n=n, previous=previous, valid_until=format_time(now + _VALID), body=agreement)
    envelope = signed(offer, keys.agreement)
    await journal.remember(_OFFER, envelope.to_bytes())
    return envelope


def _terms(envelope: Envelope, proposal: Proposal) -> Terms:
    lab = proposal.lab.party()
    terms = open_document(envelope, Terms, required=(lab.key(KeyUse.AGREEMENT),))
    if terms.lab.id != lab.id or {(key.use, key.public) for key in terms.lab.keys} != {
        (key.use, key.public) for key in lab.keys
    }:
        raise PeerBindingMismatch("the terms name other keys than the lab's identity file", lab=lab.id)
    if terms.gateway != proposal.lab_tls:
        raise PeerBindingMismatch("the terms pin another TLS key than the lab's identity file", lab=lab.id)
    if terms.auditor != proposal.auditor.id:
        raise PeerBindingMismatch("the terms are for another auditor", auditor=proposal.auditor.id)
    return terms


def _reader(identity: Identity) -> Party:
    return identity.party()
