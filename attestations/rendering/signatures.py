"""Who signed an agreement, as far as it can be said: under keys the reader trusts, or only under its own."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.documents.agreement import Agreement
from attestations.envelope import Envelope, pae
from attestations.errors import KeyUnacceptable, SafeconductError
from attestations.keys import EnrolledKey, KeyUse
from attestations.trust import Trust


@dataclass(frozen=True)
class SignatureLine:
    """One side's signature: `verdict` is `checked`, `unchecked`, `untrusted`, `missing`, `broken`."""

    role: str
    party: str
    verdict: str
    words: str


@dataclass(frozen=True)
class Signatures:
    """Both sides' signatures and what follows for the agreement."""

    lines: tuple[SignatureLine, ...]
    verdict: str  # `good`, `open` or `bad`
    summary: str


def signatures_of(envelope: Envelope, agreement: Agreement, trust: Trust | None) -> Signatures:
    """Return what can be said about the signatures under an agreement."""
    lines = tuple(_line(envelope, agreement, role, trust) for role in ("lab", "auditor"))
    verdicts = {line.verdict for line in lines}
    if verdicts == {"checked"}:
        return Signatures(lines, "good", "Signed by both sides; the signatures hold under keys you trust.")
    if "broken" in verdicts:
        return Signatures(lines, "bad", "A signature does not hold: these are not the bytes that were signed.")
    if "missing" in verdicts:
        return Signatures(lines, "bad", "Not in force: not both sides have signed this document.")
    if "untrusted" in verdicts:
        return Signatures(lines, "bad", "Signed, but with a key that is not in your trust file.")
    return Signatures(
        lines,
        "open",
        "Not checked: the signatures hold under the keys this document names itself, which anyone could have written. "
        "Give your trust file to check who signed.",
    )


def _line(envelope: Envelope, agreement: Agreement, role: str, trust: Trust | None) -> SignatureLine:
    party = agreement.party("lab" if role == "lab" else "auditor")
    try:
        key = party.key(KeyUse.AGREEMENT)
    except KeyUnacceptable:
        return SignatureLine(role, party.id, "broken", "its key in this document is not usable")
    if not _signed(envelope, key):
        claimed = any(signature.keyid == key.id for signature in envelope.signatures)
        if claimed:
            return SignatureLine(role, party.id, "broken", "its signature does not hold")
        return SignatureLine(role, party.id, "missing", "has not signed")
    if trust is None:
        return SignatureLine(role, party.id, "unchecked", "signed with the key this document names for it")
    try:
        trust.confirm(party)
        trust.check_not_revoked(
            party_public(agreement, role), party=party.id, use="agreement", signed_at=agreement.created_at
        )
    except SafeconductError as error:
        return SignatureLine(role, party.id, "untrusted", error.message)
    return SignatureLine(role, party.id, "checked", "signed, and every key of it here is in your trust file")


def _signed(envelope: Envelope, key: EnrolledKey) -> bool:
    data = pae(envelope.payload_type, envelope.payload)
    return any(key.verify(signature.sig, data) for signature in envelope.signatures)


def party_public(agreement: Agreement, role: str) -> str:
    """Return a side's agreement key as the document writes it."""
    party = agreement.party("lab" if role == "lab" else "auditor")
    return next(key.public for key in party.keys if key.use == "agreement")
