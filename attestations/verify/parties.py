"""Steps 0 to 3: whom the reader trusts, that the file is whole, who signed, and under which agreement."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.engagement import EvidenceIndex
from attestations.envelope import Envelope, open_envelope, pae, parse_envelope
from attestations.errors import (
    CommitmentMismatch,
    EvidenceMissing,
    MissingRoleSignature,
    SignatureInvalid,
    SignerRoleMismatch,
    UntrustedParty,
)
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.policy.lint import lint
from attestations.documents.base import decode
from attestations.trust import Trust

MAX_DOCUMENT_MEMBER_BYTES = 4 << 20
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
    """Return the agreement, signed by a lab and an auditor whom the reader trusts.

    Raises:
        SignatureInvalid: a signature by a trusted key does not hold.
        UntrustedParty: a signature is by nobody the reader trusts, or a key in it is not.
        MissingRoleSignature: not both sides signed.
    """
    envelope = parse_envelope(container.read("agreement.dsse.json", limit=MAX_DOCUMENT_MEMBER_BYTES))
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
    signed = pae(envelope.payload_type, envelope.payload)
    by_role: dict[str, EnrolledKey] = {}
    trusted_ids: set[str] = set()
    other_uses: list[EnrolledKey] = []
    for party in trust.parties:
        for listed in party.keys:
            if listed.use in ("receive", "log", "cosign", "witness"):
                continue
            key = enrol(party.id, KeyUse(listed.use), decode(listed.public))
            trusted_ids.add(key.id)
            if not any(key.verify(signature.sig, signed) for signature in envelope.signatures):
                continue
            if listed.use == "agreement" and party.role in ("lab", "auditor"):
                by_role.setdefault(party.role, key)
            else:
                other_uses.append(key)
    missing = [role for role in ("lab", "auditor") if role not in by_role]
    if not missing:
        return by_role["lab"], by_role["auditor"]
    if other_uses:
        raise SignerRoleMismatch(
            f"the agreement is signed with a key for {other_uses[0].use.value}", party=other_uses[0].party
        )
    unproven = [signature for signature in envelope.signatures if signature.keyid in trusted_ids]
    if len(unproven) > len(by_role):
        raise SignatureInvalid("a signature under the agreement does not hold", document="Agreement")
    if len(envelope.signatures) > len(by_role) and len(by_role) + len(missing) == len(envelope.signatures):
        raise UntrustedParty("the agreement is signed by a key that is not in the trust file", role=missing[0])
    raise MissingRoleSignature(f"the agreement is not signed by the {missing[0]}", role=missing[0])


def check_agreement(parties: Parties, trust: Trust) -> None:
    """Check what both signed: the policy keeps the linter's rules and no key was revoked when it signed."""
    lint(parties.agreement.policy)
    for party in parties.agreement.parties:
        for key in party.keys:
            trust.check_not_revoked(
                key.public, party=party.id, use=key.use, signed_at=parties.agreement.created_at
            )


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
        digest = hashlib.sha256()
        for block in container.blocks(name):
            digest.update(block)
        if str(container.size(name)) != member.bytes or digest.hexdigest() != member.digest:
            raise CommitmentMismatch(f"{name} is not the member its index lists", member=name)
