"""Step 9: whether a runtime statement is of the agreed level and answers this engagement's challenge."""

from __future__ import annotations

from attestations.digests import sha256
from attestations.documents.engagement import RuntimeStatement
from attestations.errors import AttestationKeyUnbound, AttestationNonceMismatch, RuntimeDowngrade
from attestations.verify.parties import Parties


def check_runtime(document: RuntimeStatement, parties: Parties) -> None:
    """Check one statement.

    Raises:
        RuntimeDowngrade, AttestationNonceMismatch, AttestationKeyUnbound.
    """
    agreed = parties.agreement.runtime.level
    if document.level < agreed:
        raise RuntimeDowngrade(f"{document.level} was run where {agreed} was agreed", level=document.level)
    if document.nonce != sha256(bytes.fromhex(parties.digest) + document.boot.encode()):
        raise AttestationNonceMismatch("the runtime statement answers another challenge")
    if document.level != "RA0" and (document.report is None or document.report_format is None):
        raise AttestationKeyUnbound("a runtime level above RA0 without runtime evidence")
