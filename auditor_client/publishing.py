"""What of an evidence file may be signed under a public identity: our attestation, once the whole file holds."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from attestations.bundle import parse_bundle
from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.envelope import parse_envelope
from attestations.errors import CommitmentMismatch, DisclosureForbidden, ExitCode
from attestations.identity import Identity
from attestations.trust import Trust, TrustedParty
from attestations.verify.engine import Request, verify_evidence
from attestations.verify.parties import MAX_DOCUMENT_MEMBER_BYTES


class Publishable(NamedTuple):
    """The exact bytes to sign, and for which stage and recipient they were written."""

    statement: bytes
    stage: str
    recipient: str


def publishable(stream: BinaryIO, *, auditor: Identity, lab: Identity, recipient: str) -> Publishable:
    """Return the attestation of an evidence file that holds, is our own, and is meant for `recipient`.

    Raises:
        CommitmentMismatch: the file does not verify with our identity and the lab's.
        DisclosureForbidden: it is for somebody else.
    """
    container = Container(stream)
    report = verify_evidence(container, _trust(container, auditor, lab), Request())
    if report.exit_code is not ExitCode.OK or report.stage is None or report.recipient is None:
        raise CommitmentMismatch(
            f"the evidence file does not verify (exit code {int(report.exit_code)}); run `safeconduct verify` on it"
        )
    if report.recipient != recipient:
        raise DisclosureForbidden(
            f"this file is for {report.recipient}, and a log entry shows everyone that it exists; "
            f"say --recipient {report.recipient} if that is what you want",
            recipient=report.recipient,
        )
    statement = parse_bundle(container.read("attestation.sigstore.json", limit=MAX_DOCUMENT_MEMBER_BYTES)).payload
    if sha256(statement) != report.attestation:
        raise CommitmentMismatch("the evidence file changed while it was read")
    return Publishable(statement, report.stage, report.recipient)


def _trust(container: Container, auditor: Identity, lab: Identity) -> Trust:
    # The agreement's witnesses are those we agreed to: it counts for nothing unless our own signature on it holds.
    envelope = parse_envelope(container.read("agreement.dsse.json", limit=MAX_DOCUMENT_MEMBER_BYTES))
    witnesses = Agreement.parse(envelope.payload).witnesses.keys
    parties = tuple(TrustedParty(role=party.role, id=party.id, keys=party.keys) for party in (auditor, lab))
    return Trust(parties=parties, witnesses=witnesses)
