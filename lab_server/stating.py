"""What the lab's own commands put into a log: its statements, and files of regulators and escrow holders."""

from __future__ import annotations

from attestations.documents.escrow import EscrowVerified
from attestations.envelope import Envelope
from attestations.errors import EngagementUnknown
from lab_server.disclosing import Disclosing
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.escrowing import Escrowing, check_verified


class Stating:
    """Logs signed statements of any party; for the lab itself, so it may be about every engagement."""

    def __init__(self, *, engagements: Engagements, disclosing: Disclosing, escrowing: Escrowing) -> None:
        self._engagements = engagements
        self._disclosing = disclosing
        self._escrowing = escrowing

    async def log(self, envelope: Envelope) -> Envelope:
        """Log a statement and return the receipt; the same for the same bytes.

        Raises:
            EngagementUnknown, and whatever `Disclosing.state` and `Escrowing.verified` raise.
        """
        if envelope.payload_type == EscrowVerified.payload_type:
            return await self._escrowing.verified(_about(self._engagements, envelope), envelope)
        engagement, stated = self._engagements.stated(envelope, peer=None)
        return await self._disclosing.state(engagement, envelope, stated)


def check_loggable(engagements: Engagements, envelope: Envelope) -> None:
    """Raise why a statement would not be logged, as far as this copy of the log shows; changes nothing.

    Raises:
        HoldTooLate, HoldLimitExceeded, RedactionNotAllowed and whatever else says that it would count for nothing.
    """
    if envelope.payload_type == EscrowVerified.payload_type:
        check_verified(_about(engagements, envelope), envelope)
        return
    engagement, stated = engagements.stated(envelope, peer=None)
    engagement.ledger.check(stated, engagement.now())


def _about(engagements: Engagements, envelope: Envelope) -> Engagement:
    # Read before it is verified only to find the engagement whose holder must have signed it.
    found = engagements.named(EscrowVerified.parse(envelope.payload).agreement)
    if found is None:
        raise EngagementUnknown("no agreement of this receipt is in force here")
    return found
