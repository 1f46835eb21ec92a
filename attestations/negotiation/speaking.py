"""Makes this side's own messages; the rules of `thread` decide whether each may be sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from attestations.documents.agreement import Agreement
from attestations.documents.base import format_time
from attestations.documents.negotiation import Accept, Grounds, Offer, Reject, Termination, Withdraw
from attestations.envelope import Envelope, sign_document
from attestations.errors import AgreementDigestMismatch, OfferSuperseded, PhaseViolation
from attestations.keys import Signer
from attestations.negotiation.messages import (
    Accepted,
    Concluded,
    Message,
    Offered,
    Rejected,
    Side,
    Sides,
    Terminated,
    Withdrawn,
    parse_message,
)
from attestations.negotiation.thread import InForce, Thread

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Voice:
    """One side and its agreement key."""

    side: Side
    signer: Signer
    sides: Sides

    def offer(self, thread: Thread, body: Agreement, until: datetime, consents: Envelope | None = None) -> Offered:
        """Return an offer of `body` that follows what was offered so far."""
        n, previous = thread.place(self.side)
        offer = Offer(n=n, previous=previous, valid_until=format_time(until), body=body)
        documents = [sign_document(offer, self.signer), *([] if consents is None else [consents])]
        return _as(parse_message(self.side, documents, self.sides), Offered)

    def withdraw(self, thread: Thread, now: datetime) -> Withdrawn:
        """Return the withdrawal of what is on the table."""
        table = on_table(thread)
        document = Withdraw(
            engagement=table.offer.body.engagement, offer=table.envelope.digest, withdrawn_at=format_time(now)
        )
        return Withdrawn(self.side, sign_document(document, self.signer), document)

    def reject(self, thread: Thread, reason: str, now: datetime) -> Rejected:
        """Return the rejection of what is on the table."""
        table = on_table(thread)
        document = Reject(
            engagement=table.offer.body.engagement,
            offer=table.envelope.digest,
            reason=reason,
            rejected_at=format_time(now),
        )
        return Rejected(self.side, sign_document(document, self.signer), document)

    def accept(self, thread: Thread, offer: str | None = None) -> Accepted:
        """Return our acceptance of the other side's offer: a signature lock until the offer ends.

        Args:
            thread: where things stand.
            offer: the digest of the offer that was read; another one on the table is not accepted in its place.
        """
        table = on_table(thread)
        if offer is not None and table.envelope.digest != offer:
            raise OfferSuperseded("a newer offer is on the table: review it first", offer=offer)
        body = table.offer.body
        signed = sign_document(body, self.signer)
        consents = () if table.consents is None else table.consents.signatures
        agreement = Envelope(signed.payload_type, signed.payload, (*consents, *signed.signatures))
        document = Accept(
            engagement=body.engagement,
            offer=table.envelope.digest,
            agreement=agreement.digest,
            valid_until=table.offer.valid_until,
        )
        return Accepted(self.side, sign_document(document, self.signer), document, agreement)

    def conclude(self, thread: Thread) -> Concluded:
        """Return the agreement with our signature beside the acceptor's."""
        if thread.lock is None or thread.table is None or thread.table.by != self.side:
            raise PhaseViolation("no offer of ours is accepted that could be concluded", state=thread.state.value)
        theirs = thread.lock.agreement
        ours = sign_document(thread.table.offer.body, self.signer)
        if ours.digest != theirs.digest:
            raise AgreementDigestMismatch("something else was accepted than we offered")
        both = Envelope(theirs.payload_type, theirs.payload, (*theirs.signatures, *ours.signatures))
        return _as(parse_message(self.side, [both], self.sides), Concluded)

    def terminate(
        self, thread: Thread, *, grounds: Grounds, reason: str, effective: datetime, now: datetime
    ) -> Terminated:
        """Return our statement that the agreement ends, or our signature beside the other side's."""
        asked = [item for item in thread.endings.values() if item.by != self.side]
        if asked and grounds == "both":
            theirs = asked[-1].envelope
            ours = sign_document(asked[-1].document, self.signer)
            both = Envelope(theirs.payload_type, theirs.payload, (*theirs.signatures, *ours.signatures))
            return _as(parse_message(self.side, [both], self.sides), Terminated)
        if thread.first is None or thread.in_force is None:
            raise PhaseViolation("no agreement is in force that could end", state=thread.state.value)
        document = Termination(
            agreement=thread.first,
            in_force=thread.in_force.digest,
            grounds=grounds,
            reason=reason,
            effective_at=format_time(max(effective, now)),
            stated_at=format_time(now),
        )
        return _as(parse_message(self.side, [sign_document(document, self.signer)], self.sides), Terminated)


def amended(in_force: InForce, now: datetime, changes: dict[str, object]) -> Agreement:
    """Return an amendment of the agreement in force with some of its parts replaced."""
    return in_force.agreement.model_copy(
        update={**changes, "supersedes": in_force.digest, "created_at": format_time(now)}
    )


def on_table(thread: Thread) -> Offered:
    """Return the offer on the table, or raise `PhaseViolation`."""
    if thread.table is None:
        raise PhaseViolation("no offer is on the table", state=thread.state.value)
    return thread.table


def until(now: datetime, hours: float) -> datetime:
    """Return when an offer of so many hours ends, in whole milliseconds."""
    moment = now + timedelta(hours=hours)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _as(message: Message, kind: type[M]) -> M:
    if not isinstance(message, kind):
        raise TypeError("a message of another kind than was made")
    return message
