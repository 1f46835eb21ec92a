"""Steps 0 to 3: whom the reader trusts, that the file is whole, who signed, and under which agreement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.agreement import Agreement, PartyRole
from attestations.documents.base import decode
from attestations.documents.engagement import EvidenceIndex
from attestations.envelope import Envelope, open_envelope, pae, parse_envelope
from attestations.errors import (
    CommitmentMismatch,
    EvidenceMissing,
    MalformedEnvelope,
    MissingRoleSignature,
    PolicyUnsatisfiable,
    SignatureInvalid,
    SignerRoleMismatch,
    UntrustedParty,
)
from attestations.escrow.dealing import check_escrow
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.policy.agreement_rules import lint_agreement
from attestations.trust import Trust

MAX_DOCUMENT_MEMBER_BYTES = 4 << 20
_NO_DOCUMENTS = ("receive", "log", "cosign", "witness")
REQUIRED_MEMBERS = (
    "index.dsse.json",
    "attestation.sigstore.json",
    "agreement.dsse.json",
    "checkpoint.txt",
    "log.jsonl",
    "suite-leaves.jsonl",
)


@dataclass(frozen=True)
class Parties:
    """A verified agreement and the keys it gives to each use."""

    agreement: Agreement
    digest: str
    lab_record: EnrolledKey
    lab_agreement: EnrolledKey
    lab_log: EnrolledKey
    auditor_agreement: EnrolledKey
    auditor_exchange: EnrolledKey
    auditor_cosign: EnrolledKey
    auditor_publication: EnrolledKey

    @property
    def known(self) -> tuple[EnrolledKey, ...]:
        """Every key that signs documents, to tell a wrong role from a wrong signature."""
        return (
            self.lab_record,
            self.lab_agreement,
            self.auditor_agreement,
            self.auditor_exchange,
            self.auditor_publication,
        )


class Index(NamedTuple):
    """The verified index of an evidence file and its digest."""

    document: EvidenceIndex
    digest: str


def open_agreement(container: Container, trust: Trust) -> Parties:
    """Return the agreement of an evidence file; see `read_agreement`."""
    return read_agreement(parse_envelope(container.read("agreement.dsse.json", limit=MAX_DOCUMENT_MEMBER_BYTES)), trust)


def read_agreement(envelope: Envelope, trust: Trust) -> Parties:
    """Return the agreement in an envelope, signed by a lab and an auditor whom the reader trusts.

    Raises:
        SignatureInvalid: a signature by a trusted key does not hold.
        UntrustedParty: a signature is by nobody the reader trusts, or a key in it is not.
        MissingRoleSignature: not both sides signed.
    """
    lab, auditor = _signers(envelope, trust)
    payload = open_envelope(envelope, payload_type=Agreement.payload_type, required=(lab, auditor))
    agreement = Agreement.parse(payload)
    for party in agreement.parties:
        if party.role in ("lab", "auditor"):
            trust.confirm(party)
    parties = Parties(
        agreement=agreement,
        digest=sha256(payload),
        lab_record=agreement.lab_key(KeyUse.RECORD),
        lab_agreement=agreement.lab_key(KeyUse.AGREEMENT),
        lab_log=agreement.lab_key(KeyUse.LOG),
        auditor_agreement=agreement.auditor_key(KeyUse.AGREEMENT),
        auditor_exchange=agreement.auditor_key(KeyUse.EXCHANGE),
        auditor_cosign=agreement.auditor_key(KeyUse.COSIGN),
        auditor_publication=agreement.auditor_key(KeyUse.PUBLICATION),
    )
    if (parties.lab_agreement.id, parties.auditor_agreement.id) != (lab.id, auditor.id):
        raise SignerRoleMismatch("the agreement is not signed with the agreement keys it names")
    return parties


def _signers(envelope: Envelope, trust: Trust) -> tuple[EnrolledKey, EnrolledKey]:
    """Return the agreement keys of the trusted lab and auditor that signed."""
    signed = pae(envelope.payload_type, envelope.payload)
    listed = [
        (party.role, enrol(party.id, KeyUse(key.use), decode(key.public)))
        for party in trust.parties
        for key in party.keys
        if key.use not in _NO_DOCUMENTS
    ]
    proven = [
        (role, key) for signature in envelope.signatures for role, key in listed if key.verify(signature.sig, signed)
    ]
    by_role = {role: key for role, key in proven if key.use is KeyUse.AGREEMENT}
    if "lab" in by_role and "auditor" in by_role:
        return by_role["lab"], by_role["auditor"]
    missing: PartyRole = "auditor" if "lab" in by_role else "lab"
    for role, key in proven:
        if role == missing:
            raise SignerRoleMismatch(f"the agreement is signed with a key for {key.use.value}", party=key.party)
    trusted = {key.id for _, key in listed}
    held = {key.id for _, key in proven}
    unproven = [signature for signature in envelope.signatures if signature.keyid not in held]
    if any(signature.keyid in trusted for signature in unproven):
        raise SignatureInvalid("a signature under the agreement does not hold", document="Agreement")
    if unproven:
        raise UntrustedParty("the agreement is signed by a key that is not in the trust file", role=missing)
    raise MissingRoleSignature(f"the agreement is not signed by the {missing}", role=missing)


def check_agreement(parties: Parties, trust: Trust) -> None:
    """Check what both signed: the agreement keeps the linter's rules and no key was revoked before.

    Raises:
        MalformedEnvelope: the agreement breaks a rule (L1 to L12), so that nobody should have signed it.
        KeyRevoked: a key was revoked when the agreement was made.
    """
    for finding in lint_agreement(parties.agreement):
        raise MalformedEnvelope(f"the agreement breaks its rules: {finding.reason} ({finding.rule})", rule=finding.rule)
    try:
        check_escrow(parties.agreement)
    except PolicyUnsatisfiable as error:
        raise MalformedEnvelope(f"the agreed escrow cannot work: {error.message}", **error.facts) from None
    for party in parties.agreement.parties:
        for key in party.keys:
            trust.check_not_revoked(key.public, party=party.id, use=key.use, signed_at=parties.agreement.created_at)


def check_used(parties: Parties, trust: Trust, used: Mapping[tuple[PartyRole, KeyUse], str | None]) -> None:
    """Check that no key was revoked when it last signed; `used` gives the surest lower bound of that time.

    Raises:
        KeyRevoked.
    """
    for (role, use), at in used.items():
        party = parties.agreement.party(role)
        for key in party.keys:
            if key.use == use.value and at is not None:
                trust.check_not_revoked(key.public, party=party.id, use=key.use, signed_at=at)


def open_index(container: Container, parties: Parties) -> Index:
    """Return the signed list of members."""
    envelope = parse_envelope(container.read("index.dsse.json", limit=MAX_DOCUMENT_MEMBER_BYTES))
    payload = open_envelope(
        envelope,
        payload_type=EvidenceIndex.payload_type,
        required=(parties.auditor_publication,),
        known=parties.known,
    )
    index = EvidenceIndex.parse(payload)
    if index.agreement != parties.digest:
        raise CommitmentMismatch("the index speaks of another agreement", document="EvidenceIndex")
    return Index(index, sha256(payload))


def check_members(container: Container, index: EvidenceIndex) -> None:
    """Check that the file holds exactly what its index lists, byte for byte.

    Raises:
        EvidenceMissing: a listed or required member is not there.
        CommitmentMismatch: a member is not listed, or its bytes are not those listed.
    """
    present = set(container.names) - {"index.dsse.json"}
    listed = {member.name: member for member in index.members}
    for name in (*REQUIRED_MEMBERS[1:], *listed):
        if name not in present:
            raise EvidenceMissing(f"{name} has been taken out of the evidence file", member=name)
    if present != set(listed) or len(listed) != len(index.members):
        raise CommitmentMismatch("the evidence file holds members its index does not list")
    for name, member in listed.items():
        if str(container.size(name)) != member.bytes:  # before gigabytes are read for nothing
            raise CommitmentMismatch(f"{name} is not as long as its index says", member=name)
    for name, member in listed.items():
        digest = hashlib.sha256()
        for block in container.blocks(name):
            digest.update(block)
        if digest.hexdigest() != member.digest:
            raise CommitmentMismatch(f"{name} is not the member its index lists", member=name)
