"""Amendments and terminations enter the log here: from their leaf on the engagement goes by them, and never before."""

from __future__ import annotations

from datetime import datetime

from attestations.documents.negotiation import Termination
from attestations.envelope import Envelope
from attestations.errors import AgreementDigestMismatch, PhaseViolation
from attestations.negotiation.amending import check_amendment
from attestations.negotiation.ending import check_ending
from attestations.negotiation.happened import Happened
from attestations.negotiation.ledger import bounds
from attestations.negotiation.messages import Concluded, Terminated
from attestations.states import Phase
from lab_server.engagement import Engagement
from lab_server.ports import Store


class Amending:
    """Puts what both sides signed into the log of an engagement."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    async def enter(self, engagement: Engagement, message: Concluded) -> Envelope:
        """Log an amendment and return the receipt; the same for the same amendment.

        Raises:
            AgreementDigestMismatch, ProtectedClauseViolation, AmendmentRetroactive, SizeLimitExceeded.
            PhaseViolation: the run is being closed, or the agreement has been terminated.
        """
        async with engagement.change:
            envelope = message.envelope
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            _check_open(engagement)
            agreement = engagement.in_force.agreement
            happened = Happened(tuple(engagement.ledger.events), engagement.book.committed())

            def check(now: datetime) -> None:
                check_amendment(
                    engagement.in_force,
                    message.agreement,
                    consenting=message.consenting,
                    happened=happened,
                    at=bounds(agreement, now),
                )

            receipt = await engagement.log.append_receipted("amendment", envelope, check=check)
            engagement.amend(envelope)
            engagement.logged("amendment", envelope, receipt)
            return receipt

    async def end(self, engagement: Engagement, message: Terminated) -> Envelope:
        """Log a termination and return the receipt; the same for the same one.

        Raises:
            AgreementDigestMismatch, SignerRoleMismatch: it is of another agreement, or not allowed.
            PhaseViolation: the run is being closed, or the agreement has ended already.
        """
        async with engagement.change:
            envelope = message.envelope
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            _check_open(engagement)
            document = Termination.parse(envelope.payload)
            if (document.agreement, document.in_force) != (engagement.digest, engagement.in_force.digest):
                raise AgreementDigestMismatch("the termination is of another agreement", agreement=document.agreement)
            agreement = engagement.in_force.agreement

            def check(now: datetime) -> None:
                check_ending(agreement, message, now)

            receipt = await engagement.log.append_receipted("termination", envelope, check=check)
            engagement.ending = document
            engagement.logged("termination", envelope, receipt)
            return receipt


def _check_open(engagement: Engagement) -> None:
    if engagement.phase is Phase.CLOSING:
        raise PhaseViolation("the run is being closed: the close statement comes first", state="CLOSING")
    if engagement.ending is not None:
        raise PhaseViolation("the agreement has been terminated", state="TERMINATED")
