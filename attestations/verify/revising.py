"""Amendments and terminations in the log: signed by whom they need, allowed when logged, in force from there on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.documents.engagement import LogReceipt
from attestations.documents.exchange import Meter
from attestations.documents.negotiation import Termination
from attestations.errors import (
    AgreementDigestMismatch,
    AmendmentRetroactive,
    ExchangeOmitted,
    MalformedEnvelope,
    PolicyUnsatisfiable,
)
from attestations.log_entries import LogEntry
from attestations.negotiation.acceptable import check_acceptable
from attestations.negotiation.amending import check_amendment
from attestations.negotiation.ending import check_ending
from attestations.negotiation.happened import Happened
from attestations.negotiation.ledger import bounds
from attestations.negotiation.messages import Sides, Terminated, open_message, open_signed
from attestations.negotiation.thread import InForce
from attestations.policy.evaluate import Seen
from attestations.verify.parties import Parties

_BEGIN = ("session", "promise")


class InForceSince(NamedTuple):
    """An agreement, the leaf it is in force from on, and that leaf's time; the first one was in force all along."""

    agreement: Agreement
    leaf: int
    since: datetime | None


class Revisions:
    """Which agreement is in force while a log is read."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._sides = Sides(parties.lab_agreement, parties.auditor_agreement, parties.known)
        self.in_force = InForce(parties.digest, parties.agreement)
        self.signed = parties.agreement  # as last amended by both, allowed or not: what an attestation repeats
        self.amendments: list[InForce] = []
        self.in_force_since = [InForceSince(parties.agreement, -1, None)]
        self.ending: Termination | None = None

    def take(self, entry: LogEntry, receipt: LogReceipt, *, events: Sequence[Seen], used: Meter) -> None:
        """Take an amendment or a termination into force.

        What both signed and may not stays without effect: every later leaf is judged as if it were not there.

        Raises:
            SignatureInvalid, MissingRoleSignature, SignerRoleMismatch: not signed by whom it has to be.
            AgreementDigestMismatch, ProtectedClauseViolation, AmendmentRetroactive, MalformedEnvelope: not allowed.
        """
        if len(entry.documents) != 2:  # noqa: PLR2004 - a document and the lab's receipt
            raise MalformedEnvelope(f"a {entry.kind} leaf holds 2 documents", kind=entry.kind)
        logged = parse_time(receipt.logged_at)
        if entry.kind == "termination":
            self._end(entry, receipt)
            return
        envelope = entry.documents[0]
        agreement, consenting = open_signed(envelope, (self._sides.lab, self._sides.auditor), self._sides)
        self.signed = agreement
        self._check_open()
        _check_policy(agreement)
        check_amendment(
            self.in_force,
            agreement,
            consenting=consenting,
            happened=Happened(tuple(events), used),
            at=bounds(self._parties.agreement, logged),
        )
        self.in_force = InForce(envelope.digest, agreement)
        self.amendments.append(self.in_force)
        self.in_force_since.append(InForceSince(agreement, int(receipt.log_index), logged))

    def _end(self, entry: LogEntry, receipt: LogReceipt) -> None:
        message = open_message("lab", entry.documents[:1], self._sides)
        self._check_open()
        if not isinstance(message, Terminated):
            raise MalformedEnvelope("a termination leaf holds no termination", kind=entry.kind)
        document = message.document
        if (document.agreement, document.in_force) != (self._parties.digest, self.in_force.digest):
            raise AgreementDigestMismatch("a termination of another agreement", agreement=document.agreement)
        check_ending(self.in_force.agreement, message, parse_time(receipt.logged_at))
        self.ending = document

    def _check_open(self) -> None:
        if self.ending is not None:
            raise AmendmentRetroactive("an agreement is revised after it was terminated")

    def check_begins(self, kind: str, stated: str | None) -> None:
        """Refuse a session or Promise after the agreement had ended.

        Raises:
            ExchangeOmitted: the run goes on where nothing may begin any more.
        """
        if self.ending is None or kind not in _BEGIN or stated is None:
            return
        skew = timedelta(seconds=self._parties.agreement.timing.skew_seconds)
        if parse_time(stated) > parse_time(self.ending.effective_at) + skew:
            raise ExchangeOmitted("the run goes on after the agreement has ended", kind=kind)


def _check_policy(agreement: Agreement) -> None:
    try:
        check_acceptable(agreement)
    except PolicyUnsatisfiable as error:
        raise MalformedEnvelope(f"an amended policy breaks its rules: {error.message}", **error.facts) from None
