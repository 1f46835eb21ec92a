"""What the gateway does with an auditor's messages: takes them by the common rules, and answers where it may itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from attestations.documents.base import parse_time
from attestations.documents.negotiation import Offer, Reject, Termination, Withdraw
from attestations.envelope import Envelope, parse_envelope, sign_document
from attestations.errors import ConfigurationInvalid, PeerBindingMismatch, PhaseViolation, RateLimited, TermsRefused
from attestations.negotiation.ledger import Entry, Stand, Talk, judge, stand, step
from attestations.negotiation.messages import (
    Accepted,
    Concluded,
    Message,
    Offered,
    Sides,
    Terminated,
    open_message,
    open_signed,
)
from attestations.negotiation.thread import Thread, apply
from lab_server.admitted import Admitted
from lab_server.amending import Amending
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, Store
from lab_server.steps import Steps, carried_through
from lab_server.talking import Talks
from lab_server.within_terms import check_fixed, check_terms

MESSAGES_AT_ONCE = 8  # each may hold an agreement of a megabyte, and a message of the wire holds sixteen
MOST_OFFERS = 200  # over one engagement; more is a flood, not a negotiation


class Answer(NamedTuple):
    """The lab's acceptance, and the agreement with its signature."""

    accept: Envelope
    agreement: Envelope


class Negotiating:
    """Answers auditors; a lab that reviews by hand answers later, from another process."""

    def __init__(
        self,
        *,
        admitted: list[Admitted],
        engagements: Engagements,
        keys: LabKeys,
        store: Store,
        clock: Clock,
        steps: Steps,
    ) -> None:
        self._by_tls = {auditor.tls: auditor for auditor in admitted}
        self._by_id = {auditor.identity.id: auditor for auditor in admitted}
        self._engagements = engagements
        self._keys = keys
        self._store = store
        self._clock = clock
        self._steps = steps
        self._talks = Talks(keys=keys, store=store)
        self._amending = Amending(store=store)

    async def terms(self, peer: str) -> Envelope:
        """Return the signed terms for the calling auditor."""
        return sign_document(await self._auditor(peer).terms(), self._keys.agreement)

    @carried_through
    async def offer(self, envelope: Envelope, consents: Envelope | None, *, peer: str) -> Answer | None:
        """Take an offer and return our acceptance, or None while a person decides; the same for the same offer.

        Raises:
            TermsRefused: it asks for what we do not give; the fact `field` says where.
            PolicyUnsatisfiable and what `apply` and `judge` raise.
        """
        auditor = self._auditor(peer)
        documents = [envelope, *([] if consents is None else [consents])]
        message = open_message("auditor", documents, self._talks.sides(auditor.identity))
        if not isinstance(message, Offered):
            raise PhaseViolation("this is not an offer")
        terms = await auditor.terms()
        voice = self._talks.voice(auditor.identity)

        def decide(thread: Thread, now: datetime) -> Sequence[Message]:
            after = apply(thread, message, now)
            if message.envelope.digest in thread.seen:
                return []
            body = message.offer.body
            if len(thread.known) >= MOST_OFFERS:
                raise RateLimited("too many offers over one engagement", rule="offers", limit=str(MOST_OFFERS))
            judge(thread, message, None, now)
            _check_length(message.offer, now, auditor.offer_hours)
            if thread.in_force is None:
                check_fixed(body, terms, auditor.identity, auditor.tls)
            if auditor.review == "manual":
                return [message]
            try:
                check_terms(body, terms)
            except TermsRefused:
                if auditor.review == "outside_terms":
                    return [message]
                raise
            return [message, voice.accept(after)]

        talk = await self._ready(auditor, message.offer.body.engagement)
        return _answer(await step(talk, decide, self._clock.now()), envelope.digest, talk)

    @carried_through
    async def accept(self, accept: Envelope, agreement: Envelope, *, peer: str) -> Envelope | None:
        """Take the auditor's acceptance of our offer; returns the agreement with both signatures if we conclude."""
        auditor = self._auditor(peer)
        message = open_message("auditor", [accept, agreement], self._talks.sides(auditor.identity))
        if not isinstance(message, Accepted):
            raise PhaseViolation("this is not an acceptance")
        talk = await self._ready(auditor, message.document.engagement)
        stood = await step(talk, lambda *_: [message], self._clock.now())
        in_force = stood.thread.in_force
        if in_force is not None and in_force.digest == message.agreement.digest:
            return _concluded(stood, in_force.digest, talk)
        if auditor.review == "manual":
            return None
        return await self._conclude(auditor, talk)

    @carried_through
    async def conclude(self, envelope: Envelope, *, peer: str) -> tuple[Engagement, Envelope | None]:
        """Put an agreement with both signatures in force; again changes nothing.

        Returns:
            The engagement, and for an amendment the receipt of its leaf.

        Raises:
            AgreementDigestMismatch: it is not the one we accepted.
            OfferExpired: our acceptance has expired.
            MissingRoleSignature, SignatureInvalid: not both sides signed it.
            ProtectedClauseViolation, AmendmentRetroactive, PhaseViolation: it may not enter the log.
        """
        auditor = self._auditor(peer)
        sides = self._talks.sides(auditor.identity)
        agreement, consenting = open_signed(envelope, (sides.lab, sides.auditor), sides)
        talk = await self._ready(auditor, agreement.engagement)
        return await self._bring_into_force(talk, Concluded("auditor", envelope, agreement, consenting))

    @carried_through
    async def take(self, envelope: Envelope, kind: type[Withdraw | Reject], *, peer: str) -> None:
        """Take a withdrawal or a rejection."""
        auditor = self._auditor(peer)
        message = open_message("auditor", [envelope], self._talks.sides(auditor.identity))
        document = kind.parse(envelope.payload)
        talk = await self._ready(auditor, document.engagement)
        await step(talk, lambda *_: [message], self._clock.now())

    @carried_through
    async def terminate(self, envelope: Envelope, *, peer: str) -> Envelope | None:
        """Take a termination; returns the receipt once it stands in the log, None while our signature is missing."""
        auditor = self._auditor(peer)
        message = open_message("auditor", [envelope], self._talks.sides(auditor.identity))
        document = Termination.parse(envelope.payload)
        engagement = self._engagements.get(document.agreement, peer=peer)
        if not isinstance(message, Terminated):
            raise PhaseViolation("this is not a termination")
        talk = await self._ready(auditor, engagement.agreement.engagement)
        return await self._end(talk, engagement, message)

    async def messages(self, engagement: str, start: int, *, peer: str) -> list[Entry]:
        """Return our messages in one negotiation from `start` on, a page of them."""
        auditor = self._auditor(peer)
        talk = await self._ready(auditor, engagement)
        stood = await stand(talk, self._clock.now())
        first = stood.thread.first
        if first is not None and self._engagements.named(first) is None:
            await self._engagements.refresh()
        ours = [entry for entry in stood.entries if entry.by == "lab" and entry.documents]
        return ours[start : start + MESSAGES_AT_ONCE]

    @carried_through
    async def conclude_ours(self, auditor: str, engagement: str) -> Envelope:
        """Conclude an offer of ours that the auditor has accepted: what a person at the lab has asked for."""
        self.sides_of(auditor)
        admitted = self._by_id[auditor]
        return await self._conclude(admitted, await self._ready(admitted, engagement))

    @carried_through
    async def end_ours(self, auditor: str, message: Terminated) -> Envelope | None:
        """Log a termination that a person at the lab has signed; None while the auditor's signature is missing."""
        admitted = self._by_id[auditor]
        engagement = self._engagements.named(message.document.agreement)
        if engagement is None:
            raise PhaseViolation("no agreement is in force that could end")
        return await self._end(await self._ready(admitted, engagement.agreement.engagement), engagement, message)

    def sides_of(self, auditor: str) -> Sides:
        """Return both sides' agreement keys; an auditor that is no longer admitted is unknown."""
        admitted = self._by_id.get(auditor)
        if admitted is None:
            raise ConfigurationInvalid(f"{auditor} is not admitted", field="auditor")
        return self._talks.sides(admitted.identity)

    async def _conclude(self, auditor: Admitted, talk: Talk) -> Envelope:
        stood = await stand(talk, self._clock.now())
        message = self._talks.voice(auditor.identity).conclude(stood.thread)
        await self._bring_into_force(talk, message)
        return message.envelope

    async def _bring_into_force(self, talk: Talk, message: Concluded) -> tuple[Engagement, Envelope | None]:
        now = self._clock.now()
        stood = await stand(talk, now)
        if _concluded(stood, message.envelope.digest, talk) is None:
            apply(stood.thread, message, now)  # refuse before anything enters the log
        if message.agreement.supersedes is None:
            await step(talk, lambda *_: [message], now)
            return self._engagements.add(message.envelope), None
        engagement = self._engagements.named(stood.thread.first or "")
        if engagement is None:
            raise PhaseViolation("no agreement is in force that could be amended")
        receipt = await self._amending.enter(engagement, message)
        await step(talk, lambda *_: [message], now)
        return engagement, receipt

    async def _end(self, talk: Talk, engagement: Engagement, message: Terminated) -> Envelope | None:
        now = self._clock.now()
        receipt = engagement.receipts.get(message.envelope.digest)
        if receipt is None:
            after = apply((await stand(talk, now)).thread, message, now)
            if after.terminated is not None:
                receipt = await self._amending.end(engagement, message)
        await step(talk, lambda *_: [message], now)
        return receipt

    async def _ready(self, auditor: Admitted, engagement: str) -> Talk:
        talk = self._talks.talk(auditor.identity, engagement)
        await self._talks.catch_up(talk)
        return talk

    def _auditor(self, peer: str) -> Admitted:
        auditor = self._by_tls.get(peer)
        if auditor is None:
            raise PeerBindingMismatch("the TLS key is not that of an admitted auditor")
        return auditor


def _check_length(offer: Offer, now: datetime, hours: int) -> None:
    if (parse_time(offer.valid_until) - now).total_seconds() > hours * 3600:
        raise TermsRefused(f"an offer is valid for at most {hours} hours", field="validUntil")


def _answer(stood: Stand, offer: str, talk: Talk) -> Answer | None:
    for entry in reversed(stood.entries):
        if entry.by == "lab" and entry.documents:
            message = entry.message(talk.sides)
            if isinstance(message, Accepted) and message.document.offer == offer:
                return Answer(message.envelope, message.agreement)
    return None


def _concluded(stood: Stand, digest: str, talk: Talk) -> Envelope | None:
    for entry in reversed(stood.entries):
        if entry.documents:
            envelope = parse_envelope(entry.documents[0])
            if envelope.digest == digest and isinstance(entry.message(talk.sides), Concluded):
                return envelope
    return None
