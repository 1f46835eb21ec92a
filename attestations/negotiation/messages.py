"""The messages of a negotiation: signed documents that were opened under the keys of the side they are by.

`open_message` is for what arrives, `parse_message` for what this side has already opened once and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from attestations.documents.agreement import Agreement
from attestations.documents.base import Document
from attestations.documents.negotiation import Accept, Offer, Reject, Termination, Withdraw
from attestations.envelope import Envelope, open_document
from attestations.errors import AgreementDigestMismatch, MalformedEnvelope, PayloadTypeMismatch
from attestations.keys import EnrolledKey, KeyUse

Side = Literal["lab", "auditor"]
D = TypeVar("D", bound=Document)
OTHER: dict[Side, Side] = {"lab": "auditor", "auditor": "lab"}
_TWO = 2


@dataclass(frozen=True)
class Sides:
    """Both sides' agreement keys, and keys of other uses to tell a wrong role from a wrong signature."""

    lab: EnrolledKey
    auditor: EnrolledKey
    known: tuple[EnrolledKey, ...] = ()

    def of(self, side: Side) -> EnrolledKey:
        """Return one side's agreement key."""
        return self.lab if side == "lab" else self.auditor


@dataclass(frozen=True)
class Offered:
    """An offer, and the signatures of those whose protected rules it would change."""

    by: Side
    envelope: Envelope
    offer: Offer
    agreement: str
    consents: Envelope | None = None
    consenting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Withdrawn:
    """An offer taken back."""

    by: Side
    envelope: Envelope
    document: Withdraw


@dataclass(frozen=True)
class Rejected:
    """An offer declined."""

    by: Side
    envelope: Envelope
    document: Reject


@dataclass(frozen=True)
class Accepted:
    """A signature lock and the agreement with its signer's signature (and those of consenting beneficiaries)."""

    by: Side
    envelope: Envelope
    document: Accept
    agreement: Envelope


@dataclass(frozen=True)
class Concluded:
    """An agreement with both signatures, and who else consented."""

    by: Side
    envelope: Envelope
    agreement: Agreement
    consenting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Terminated:
    """A statement that the agreement ends, and which sides have signed it."""

    by: Side
    envelope: Envelope
    document: Termination
    signers: frozenset[Side]


Message = Offered | Withdrawn | Rejected | Accepted | Concluded | Terminated


def documents_of(message: Message) -> tuple[Envelope, ...]:
    """Return the signed documents a message is made of."""
    match message:
        case Offered(consents=Envelope() as second) | Accepted(agreement=second):
            return message.envelope, second
        case _:
            return (message.envelope,)


def open_message(by: Side, documents: Sequence[Envelope], sides: Sides) -> Message:
    """Return what one side has signed.

    Raises:
        SignatureInvalid, SignerRoleMismatch, MissingRoleSignature: it is not by whom it has to be.
        MalformedEnvelope, PayloadTypeMismatch and what parsing raises: it is no message.
    """
    first = documents[0]
    key = sides.of(by)
    if first.payload_type == Agreement.payload_type:
        agreement, _ = open_signed(first, (sides.lab, sides.auditor), sides)
        del agreement
    elif first.payload_type == Termination.payload_type:
        open_document(first, Termination, required=_signed_by(first, sides) or (key,), known=sides.known)
    else:
        open_document(first, _kind(first), required=(key,), known=(*sides.known, sides.lab, sides.auditor))
    if len(documents) == _TWO and first.payload_type == Accept.payload_type:
        open_signed(documents[1], (key,), sides)
    elif len(documents) == _TWO and first.payload_type == Offer.payload_type:
        open_signed(documents[1], (), sides)
    return parse_message(by, documents, sides)


def parse_message(by: Side, documents: Sequence[Envelope], sides: Sides) -> Message:
    """Return a message whose signatures were checked before."""
    first, second = documents[0], documents[1] if len(documents) == _TWO else None
    if len(documents) > _TWO or (second is not None) > (first.payload_type in _WITH_SECOND):
        raise MalformedEnvelope("a message of the wrong number of documents")
    if first.payload_type == Agreement.payload_type:
        agreement = Agreement.parse(first.payload)
        return Concluded(by, first, agreement, _consenting(agreement, first))
    if first.payload_type == Termination.payload_type:
        termination = Termination.parse(first.payload)
        signed_by = _signed_by(first, sides)
        signers: frozenset[Side] = frozenset("lab" if key is sides.lab else "auditor" for key in signed_by)
        return Terminated(by, first, termination, signers)
    kind = _kind(first)
    if kind is Withdraw:
        return Withdrawn(by, first, Withdraw.parse(first.payload))
    if kind is Reject:
        return Rejected(by, first, Reject.parse(first.payload))
    if kind is Accept:
        if second is None:
            raise MalformedEnvelope("an acceptance comes with the agreement it signs")
        return Accepted(by, first, Accept.parse(first.payload), second)
    offer = Offer.parse(first.payload)
    body = Envelope(Agreement.payload_type, offer.body.to_bytes(), ())
    if second is not None and second.digest != body.digest:
        raise AgreementDigestMismatch("the consents are to another agreement than the offer's")
    consenting = frozenset[str]() if second is None else _consenting(offer.body, second)
    return Offered(by, first, offer, body.digest, second, consenting)


def open_signed(envelope: Envelope, required: Sequence[EnrolledKey], sides: Sides) -> tuple[Agreement, frozenset[str]]:
    """Return an agreement signed by every key in `required`, and which of its other parties signed as well.

    Raises:
        SignatureInvalid, SignerRoleMismatch, MissingRoleSignature: another signature is there, or one is not.
    """
    usual = {key.id for key in (sides.lab, sides.auditor, *required)}
    if all(signature.keyid in usual for signature in envelope.signatures):
        return open_document(envelope, Agreement, required=required, known=sides.known), frozenset()
    # Parsed before it is verified only to learn whose other signatures may be there; then opened under exactly these.
    claimed = Agreement.parse(envelope.payload)
    others = [key for key in beneficiary_keys(claimed) if key.id in {item.keyid for item in envelope.signatures}]
    agreement = open_document(envelope, Agreement, required=(*required, *others), known=sides.known)
    return agreement, frozenset(key.party for key in others)


def beneficiary_keys(agreement: Agreement) -> tuple[EnrolledKey, ...]:
    """Return the agreement keys of the parties that are neither lab nor auditor."""
    return tuple(
        party.key(KeyUse.AGREEMENT)
        for party in agreement.parties
        if party.role not in ("lab", "auditor") and any(key.use == "agreement" for key in party.keys)
    )


def _consenting(agreement: Agreement, envelope: Envelope) -> frozenset[str]:
    signed = {signature.keyid for signature in envelope.signatures}
    return frozenset(key.party for key in beneficiary_keys(agreement) if key.id in signed)


def _signed_by(envelope: Envelope, sides: Sides) -> tuple[EnrolledKey, ...]:
    named = {signature.keyid for signature in envelope.signatures}
    return tuple(key for key in (sides.lab, sides.auditor) if key.id in named)


def _kind(envelope: Envelope) -> type[Offer | Accept | Withdraw | Reject]:
    for kind in (Offer, Accept, Withdraw, Reject):
        if envelope.payload_type == kind.payload_type:
            return kind
    raise PayloadTypeMismatch("this is no message of a negotiation")


_WITH_SECOND = (Offer.payload_type, Accept.payload_type)
