"""Who may end an agreement, and how soon: the same answer for both sides and for every verifier."""

from __future__ import annotations

from datetime import datetime, timedelta

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.errors import AgreementDigestMismatch, MissingRoleSignature, SignerRoleMismatch
from attestations.negotiation.messages import Terminated


def check_grounds(agreement: Agreement, message: Terminated) -> None:
    """Refuse a termination by one side that no clause allows.

    Raises:
        SignerRoleMismatch: this side may not end the agreement alone.
        AgreementDigestMismatch: it takes effect before the agreed notice is over.
    """
    document = message.document
    if document.grounds == "both":
        return
    clause = agreement.clauses.termination
    if clause is None or not any(clause.by in ("either", side) for side in message.signers):
        raise SignerRoleMismatch("no clause lets this side end the agreement alone", field="clauses.termination")
    _check_notice(agreement, parse_time(document.effective_at), parse_time(document.stated_at))


def check_ending(agreement: Agreement, message: Terminated, logged: datetime) -> None:
    """Refuse a termination that may not stand in the log at this time.

    Raises:
        MissingRoleSignature: both sides have to sign it, and only one has.
        SignerRoleMismatch, AgreementDigestMismatch: as `check_grounds`, with notice counted from the log.
    """
    if message.document.grounds == "both" and len(message.signers) == 1:
        raise MissingRoleSignature("both sides have to sign this termination")
    check_grounds(agreement, message)
    if message.document.grounds == "clause":
        skew = timedelta(seconds=agreement.timing.skew_seconds)
        _check_notice(agreement, parse_time(message.document.effective_at), logged - skew)


def _check_notice(agreement: Agreement, effective: datetime, given: datetime) -> None:
    clause = agreement.clauses.termination
    days = 0 if clause is None else clause.notice_days
    if effective - given < timedelta(days=days):
        raise AgreementDigestMismatch(
            f"the agreement ends {days} days after notice at the earliest", field="effectiveAt"
        )
