"""The rules of a negotiation over one engagement, from one side's view; lab and auditor both keep such a thread.

Nothing here knows which side is asking, reads a clock or signs. `apply` takes a verified message and an instant
and returns the thread that follows, or raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.documents.negotiation import Offer
from attestations.envelope import Envelope
from attestations.errors import (
    AgreementDigestMismatch,
    OfferExpired,
    OfferSuperseded,
    PhaseViolation,
    PrevHashMismatch,
    SignatureLocked,
    SignerRoleMismatch,
)
from attestations.negotiation.ending import check_grounds
from attestations.negotiation.messages import (
    OTHER,
    Accepted,
    Concluded,
    Message,
    Offered,
    Rejected,
    Side,
    Terminated,
    Withdrawn,
)
from attestations.states import NEGOTIATION, Negotiation, NegotiationEvent, advance


@dataclass(frozen=True)
class Known:
    """An offer that was once made: by whom, its place in the chain, until when it was good."""

    by: Side
    n: int
    until: datetime


@dataclass(frozen=True)
class Lock:
    """An acceptance in force: who accepted, until when, and the agreement with that side's signature."""

    by: Side
    until: datetime
    agreement: Envelope


@dataclass(frozen=True)
class InForce:
    """An agreement both sides have signed."""

    digest: str
    agreement: Agreement


@dataclass(frozen=True)
class Thread:
    """Where one negotiation stands for one side."""

    state: Negotiation = Negotiation.NONE
    table: Offered | None = None
    lock: Lock | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    first: str | None = None
    in_force: InForce | None = None
    before: InForce | None = None  # what the agreement in force superseded
    lapsed: str | None = None  # the agreement whose acceptance expired last
    endings: Mapping[Side, Terminated] = field(default_factory=dict)
    terminated: Terminated | None = None

    def place(self, by: Side) -> tuple[int, str | None]:
        """Return `n` and `previous` of the next offer by one side."""
        if not self.known:
            return 0, None
        newest = max(self.known, key=lambda digest: self.known[digest].n)
        previous = self.table.envelope.digest if self.table is not None else newest
        own = max((item.n for item in self.known.values() if item.by == by), default=-1)
        if self.known[previous].n < own:
            previous = newest
        return self.known[previous].n + 1, previous


def settle(thread: Thread, now: datetime) -> Thread:
    """Return the thread with what has expired by `now` gone: the offer on the table, and with it any signature lock."""
    until = thread.lock.until if thread.lock is not None else _until(thread.table)
    if until is None or now <= until:
        return thread
    return replace(
        thread,
        state=advance(NEGOTIATION, thread.state, NegotiationEvent.EXPIRE),
        lapsed=thread.lock.agreement.digest if thread.lock is not None else thread.lapsed,
        table=None,
        lock=None,
    )


def drop(thread: Thread, digest: str) -> Thread:
    """Return the thread without an offer, an amendment or a termination of ours that the other side refused to take.

    The last two have no effect before their leaf of the log, so what was in force still is.
    """
    if thread.before is not None and thread.in_force is not None and thread.in_force.digest == digest:
        return replace(thread, in_force=thread.before, before=None)
    if thread.terminated is not None and thread.terminated.envelope.digest == digest:
        return replace(thread, terminated=None, state=Negotiation.CONCLUDED)
    known = {name: item for name, item in thread.known.items() if name != digest}
    thread = replace(thread, known=known)
    if thread.table is None or thread.table.envelope.digest != digest or thread.lock is not None:
        return thread
    return replace(thread, table=None, state=advance(NEGOTIATION, thread.state, NegotiationEvent.WITHDRAW))


def apply(thread: Thread, message: Message, now: datetime) -> Thread:
    """Return the thread after a message; a repeated one changes nothing.

    Raises:
        OfferSuperseded: a newer offer is on the table, or an agreement is in force.
        OfferExpired: the offer, or the acceptance of it, is past its `validUntil`.
        SignatureLocked: an acceptance is in force; until it ends nothing else is signed.
        AgreementDigestMismatch: it is about an offer or agreement that is not the one it names.
        PrevHashMismatch: an offer does not follow one that is known.
        PhaseViolation: nothing of the kind is possible now.
        SignerRoleMismatch: it is not for this side to do.
    """
    if message.envelope.digest in thread.seen:
        return _again(settle(thread, now), message)
    thread = settle(thread, now)
    match message:
        case Offered():
            after = _offer(thread, message, now)
        case Withdrawn() | Rejected():
            after = _take_off(thread, message, now)
        case Accepted():
            after = _accept(thread, message, now)
        case Concluded():
            after = _conclude(thread, message)
        case _:
            return _terminate(thread, message)
    return replace(after, seen=after.seen | {message.envelope.digest})


def _again(thread: Thread, message: Message) -> Thread:
    # The one document that is signed step by step: a second signature makes it another message.
    return _terminate(thread, message) if isinstance(message, Terminated) else thread


def _offer(thread: Thread, message: Offered, now: datetime) -> Thread:
    offer, by = message.offer, message.by
    if thread.lock is not None:
        raise SignatureLocked(
            "another offer is accepted until it expires",
            engagement=offer.body.engagement,
            until=thread.lock.until.isoformat(),
        )
    if thread.in_force is not None and offer.body.supersedes is None:
        raise OfferSuperseded("an agreement is in force for this engagement", engagement=offer.body.engagement)
    if offer.body.supersedes != (None if thread.in_force is None else thread.in_force.digest):
        raise AgreementDigestMismatch("an amendment supersedes the agreement in force", field="supersedes")
    _check_chain(thread, offer, by)
    until = parse_time(offer.valid_until)
    if now > until:
        raise OfferExpired("the offer has expired", valid_until=offer.valid_until)
    return replace(
        thread,
        state=advance(NEGOTIATION, thread.state, NegotiationEvent.OFFER),
        table=message,
        known={**thread.known, message.envelope.digest: Known(by, offer.n, until)},
    )


def _check_chain(thread: Thread, offer: Offer, by: Side) -> None:
    if any(item.by == by and item.n >= offer.n for item in thread.known.values()):
        raise OfferSuperseded("a newer offer of this side is known", n=str(offer.n))
    follows = None if offer.previous is None else thread.known.get(offer.previous)
    if (offer.previous is None) != (offer.n == 0) or (
        offer.previous is not None and (follows is None or follows.n + 1 != offer.n)
    ):
        raise PrevHashMismatch("the offer does not follow one that is known here", n=str(offer.n))


def _take_off(thread: Thread, message: Withdrawn | Rejected, now: datetime) -> Thread:
    digest = message.document.offer
    made = _known(thread, digest)
    if (made.by == message.by) != isinstance(message, Withdrawn):
        raise SignerRoleMismatch("one withdraws one's own offer and rejects the other's", offer=digest)
    if thread.lock is not None:
        raise SignatureLocked("the offer is accepted until it expires", offer=digest)
    _on_the_table(thread, digest, made, now)
    event = NegotiationEvent.WITHDRAW if isinstance(message, Withdrawn) else NegotiationEvent.REJECT
    return replace(thread, state=advance(NEGOTIATION, thread.state, event), table=None)


def _accept(thread: Thread, message: Accepted, now: datetime) -> Thread:
    accept = message.document
    made = _known(thread, accept.offer)
    if made.by == message.by:
        raise SignerRoleMismatch("an offer is accepted by the other side", offer=accept.offer)
    if thread.lock is not None and thread.lock.by == message.by:
        raise SignatureLocked("another offer is accepted until it expires", offer=accept.offer)
    table = _on_the_table(thread, accept.offer, made, now)
    until = parse_time(accept.valid_until)
    if (accept.agreement, accept.engagement) != (table.agreement, table.offer.body.engagement) or (
        message.agreement.digest != table.agreement
    ):
        raise AgreementDigestMismatch("something else was accepted than was offered", offer=accept.offer)
    if until > made.until:
        raise AgreementDigestMismatch("an acceptance does not outlive its offer", field="validUntil")
    if now > until:
        raise OfferExpired("the acceptance has expired", valid_until=accept.valid_until)
    return replace(
        thread,
        state=advance(NEGOTIATION, thread.state, NegotiationEvent.ACCEPT),
        lock=Lock(message.by, until, message.agreement),
    )


def _conclude(thread: Thread, message: Concluded) -> Thread:
    digest, engagement = message.envelope.digest, message.agreement.engagement
    lock = thread.lock
    if lock is None and digest == thread.lapsed:
        raise OfferExpired("the acceptance has expired", engagement=engagement)
    if lock is None or lock.agreement.digest != digest:
        raise AgreementDigestMismatch("this is not the agreement that was accepted", engagement=engagement)
    if message.by != OTHER[lock.by]:
        raise SignerRoleMismatch("an agreement is concluded by the side that offered it", engagement=engagement)
    return replace(
        thread,
        state=advance(NEGOTIATION, thread.state, NegotiationEvent.CONCLUDE),
        table=None,
        lock=None,
        first=thread.first or digest,
        in_force=InForce(digest, message.agreement),
        before=thread.in_force,
        endings={},
    )


def _terminate(thread: Thread, message: Terminated) -> Thread:
    document, in_force = message.document, thread.in_force
    if thread.terminated is not None and thread.terminated.envelope.digest == message.envelope.digest:
        return thread
    if in_force is None:
        raise PhaseViolation("no agreement is in force that could end", state=thread.state.value)
    if (document.agreement, document.in_force) != (thread.first, in_force.digest):
        raise AgreementDigestMismatch("the termination is of another agreement", agreement=document.agreement)
    if thread.lock is not None:
        raise SignatureLocked("an offer is accepted until it expires")
    state = advance(NEGOTIATION, thread.state, NegotiationEvent.TERMINATE)
    check_grounds(in_force.agreement, message)
    seen = thread.seen | {message.envelope.digest}
    if document.grounds == "both" and len(message.signers) == 1:
        return replace(thread, seen=seen, endings={**thread.endings, message.by: message})
    return replace(thread, seen=seen, state=state, table=None, terminated=message)


def _until(table: Offered | None) -> datetime | None:
    return None if table is None else parse_time(table.offer.valid_until)


def _known(thread: Thread, digest: str) -> Known:
    made = thread.known.get(digest)
    if made is None:
        raise AgreementDigestMismatch("it names an offer that is not known here", offer=digest)
    return made


def _on_the_table(thread: Thread, digest: str, made: Known, now: datetime) -> Offered:
    table = thread.table
    if table is not None and table.envelope.digest == digest:
        return table
    if table is None and now > made.until:
        raise OfferExpired("the offer has expired", offer=digest)
    raise OfferSuperseded("the offer is no longer on the table", offer=digest)
