"""Who may state what about disclosure, and with which key: the same answer for lab, auditor and verifier.

Only signatures and places are judged here; whether a statement counts is the ledger's to say
(`attestations.ledger`), because an invalid one stands in the log all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attestations.documents.agreement import Agreement, Party
from attestations.documents.analysis import AnalysisDeviation
from attestations.documents.base import Document
from attestations.documents.disclosing import (
    Abort,
    Correction,
    EmergencyNotice,
    Order,
    RecallRequest,
    Redaction,
    Verdict,
)
from attestations.documents.elicitation import DevDisclosure, PackAnswer, RunStart
from attestations.documents.engagement import PolicyEvent
from attestations.documents.finding import FindingNotice
from attestations.envelope import Envelope, open_envelope, pae
from attestations.errors import AttributionFailed, MalformedEnvelope, PayloadTypeMismatch, SignatureInvalid
from attestations.keys import EnrolledKey, KeyUse
from attestations.log_entries import Kind
from attestations.policy.evaluate import HOLD, held_days

REVOKE = "REVOKE"
_ALL = frozenset({"lab", "auditor", "regulator", "recipient", "escrow"})
# Every other event is read off the log itself. A revocation may be stated by anybody, and counts for nothing.
STATED_BY: Mapping[str, frozenset[str]] = {
    "ALREADY_PUBLIC": frozenset({"lab", "auditor", "regulator"}),
    "AUDITOR_CONSENT": frozenset({"auditor"}),
    "REMEDIATION_CONFIRMED": frozenset({"auditor"}),
    HOLD: frozenset({"lab", "regulator"}),
    "LAB_CONSENT": frozenset({"lab"}),
    "MARKET_PLACEMENT": frozenset({"lab", "regulator"}),
    REVOKE: _ALL,
}
SIGNED_BY: Mapping[type[Document], frozenset[str]] = {
    PolicyEvent: _ALL,
    Order: frozenset({"regulator"}),
    EmergencyNotice: frozenset({"lab", "auditor", "regulator"}),
    Redaction: frozenset({"lab", "regulator"}),
    Verdict: frozenset({"lab", "regulator", "recipient", "escrow"}),
    RecallRequest: _ALL,
    Correction: frozenset({"auditor"}),
    Abort: frozenset({"auditor"}),
    AnalysisDeviation: frozenset({"auditor"}),
    FindingNotice: frozenset({"auditor"}),
    DevDisclosure: frozenset({"auditor"}),
    PackAnswer: frozenset({"lab"}),
    RunStart: frozenset({"auditor"}),
}
_BY_TYPE = {kind.payload_type: kind for kind in SIGNED_BY}
_PUBLICATION = (Correction, Abort, AnalysisDeviation, DevDisclosure, RunStart, FindingNotice)


@dataclass(frozen=True)
class Stated:
    """A statement whose signatures hold, and the parties that signed it."""

    document: Document
    digest: str
    parties: tuple[Party, ...]

    @property
    def roles(self) -> frozenset[str]:
        """The roles of those who signed."""
        return frozenset(party.role for party in self.parties)

    @property
    def kind(self) -> Kind:
        """The kind of leaf it stands in."""
        return "event" if isinstance(self.document, PolicyEvent) else "statement"


def is_statement(envelope: Envelope) -> bool:
    """Tell whether an envelope says it holds a statement."""
    return envelope.payload_type in _BY_TYPE


def open_statement(envelope: Envelope, agreement: Agreement, digest: str) -> Stated:
    """Return a statement once its signatures hold and are by parties that may state it.

    Args:
        envelope: what was received or logged.
        agreement: whose parties' keys count.
        digest: the agreement's digest, which every statement carries.

    Raises:
        PayloadTypeMismatch: it is no statement.
        SignatureInvalid, SignerRoleMismatch: it is by no party of the agreement, or with another key.
        AttributionFailed: it is not for this party to state, or of another agreement.
        MalformedEnvelope: a hold without a number of business days.
    """
    kind = _BY_TYPE.get(envelope.payload_type)
    if kind is None:
        raise PayloadTypeMismatch("an envelope holds another kind of document than its place requires")
    use = KeyUse.PUBLICATION if kind in _PUBLICATION else KeyUse.AGREEMENT
    signers = _signers(envelope, agreement.parties, use)
    known = [key for party in agreement.parties for key in _document_keys(party)]
    required = [key for _, key in signers] or [agreement.auditor_key(use)]
    document = kind.parse(open_envelope(envelope, payload_type=kind.payload_type, required=required, known=known))
    stated = Stated(document, envelope.digest, tuple(party for party, _ in signers))
    if getattr(document, "agreement", None) != digest:
        raise AttributionFailed(f"a {kind.__name__} of another agreement")
    _check_who(stated)
    return stated


def _check_who(stated: Stated) -> None:
    document = stated.document
    allowed, name = SIGNED_BY[type(document)], type(document).__name__
    if isinstance(document, PolicyEvent):
        allowed, name = STATED_BY.get(document.event, frozenset()), document.event
    for party in stated.parties:
        if party.role not in allowed:
            raise AttributionFailed(f"{name} is not for the {party.role} to state", event=name)
    if len(stated.parties) > 1 and not isinstance(document, EmergencyNotice):
        raise AttributionFailed(f"{name} is for one party to state", event=name)
    if isinstance(document, PolicyEvent) and document.event == HOLD and not held_days(document.argument):
        raise MalformedEnvelope("a hold is a number of business days", event=document.event)


def _signers(envelope: Envelope, parties: Sequence[Party], use: KeyUse) -> list[tuple[Party, EnrolledKey]]:
    data = pae(envelope.payload_type, envelope.payload)
    found: list[tuple[Party, EnrolledKey]] = []
    for signature in envelope.signatures:
        for party in parties:
            key = _key(party, use)
            if key is not None and key.id == signature.keyid and key.verify(signature.sig, data):
                if any(key.id == other.id for _, other in found):
                    raise SignatureInvalid("one key signed a statement twice", party=party.id)
                found.append((party, key))
                break
    return found


def _key(party: Party, use: KeyUse) -> EnrolledKey | None:
    return party.key(use) if any(key.use == use.value for key in party.keys) else None


def _document_keys(party: Party) -> list[EnrolledKey]:
    uses = (KeyUse.AGREEMENT, KeyUse.RECORD, KeyUse.EXCHANGE, KeyUse.PUBLICATION)
    return [key for use in uses if (key := _key(party, use)) is not None]
