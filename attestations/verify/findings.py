"""A flaw report that somebody was given, held against the log of an evidence file that holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from attestations.documents.finding import FlawReport
from attestations.envelope import open_envelope, parse_envelope
from attestations.errors import CommitmentMismatch
from attestations.keys import KeyUse
from attestations.ledger import LoggedFinding
from attestations.trust import Trust
from attestations.verify.export import open_verified


@dataclass(frozen=True, repr=False)
class Found:
    """A report that the log has notice of."""

    report: FlawReport
    digest: str
    notices: tuple[LoggedFinding, ...]
    auditor: str

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody it was given to, in the order of the log."""
        return tuple(dict.fromkeys(recipient for logged in self.notices for recipient in logged.document.to))


def find_report(stream: BinaryIO, trust: Trust, data: bytes) -> Found:
    """Open a flaw report whose notice stands in the log of an evidence file.

    Raises:
        CommitmentMismatch: the evidence does not verify, or its log has no notice of this report.
        SignatureInvalid, SignerRoleMismatch: the auditor has not signed it.
        PayloadTypeMismatch: it is no flaw report.
        MalformedEnvelope, NonCanonicalDocument: it cannot be read.
    """
    verified = open_verified(stream, trust)
    agreement = verified.agreement
    envelope = parse_envelope(data)
    key = agreement.auditor_key(KeyUse.PUBLICATION)
    known = [party.key(KeyUse(known.use)) for party in agreement.parties for known in party.keys]
    payload = open_envelope(envelope, payload_type=FlawReport.payload_type, required=[key], known=known)
    report = FlawReport.parse(payload)
    notices = tuple(
        logged
        for logged in verified.log.ledger.findings
        if logged.document.report == envelope.digest and logged.document.id == report.id
    )
    if not notices or report.agreement != verified.digest:
        raise CommitmentMismatch("the log of this file has no notice of this report", finding=report.id)
    return Found(report, envelope.digest, notices, agreement.party("auditor").id)
