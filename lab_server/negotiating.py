"""How an agreement comes into force: terms for one auditor, a full offer, a signature lock, both signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

from attestations.documents.agreement import Accept, Access, Agreement, Budget, Offer, Terms
from attestations.documents.base import parse_time
from attestations.envelope import Envelope, open_document, parse_envelope, sign_document
from attestations.errors import (
    AgreementDigestMismatch,
    OfferExpired,
    OfferSuperseded,
    PeerBindingMismatch,
    SignatureLocked,
    TermsRefused,
)
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.policy.lint import lint
from attestations.states import NEGOTIATION, Negotiation, NegotiationEvent, advance
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.keyring import LabKeys
from lab_server.ports import Clock, Store, StoredAgreement, StoredOffer
from lab_server.steps import Steps, carried_through

LATEST_OFFER_HOURS = 24  # a longer lock would let an offeror hold the lab's signature (protocol study 4.3)


@dataclass(frozen=True)
class Admitted:
    """An auditor this lab deals with: who it is, its TLS key, and the terms for it."""

    identity: Identity
    tls: str
    terms: Callable[[], Awaitable[Terms]]


class Negotiating:
    """Answers offers; the lab agrees to everything within its terms and to nothing else."""

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
        self._engagements = engagements
        self._keys = keys
        self._store = store
        self._clock = clock
        self._steps = steps
        self._lock = asyncio.Lock()

    async def terms(self, peer: str) -> Envelope:
        """Return the signed terms for the calling auditor."""
        return sign_document(await self._auditor(peer).terms(), self._keys.agreement)

    @carried_through
    async def offer(self, envelope: Envelope, *, peer: str) -> tuple[Envelope, Envelope]:
        """Return our acceptance and the agreement with our signature; the same for the same offer.

        Raises:
            TermsRefused: it asks for more than our terms; the fact `field` says where.
            PolicyUnsatisfiable, OfferExpired, OfferSuperseded, SignatureLocked.
        """
        auditor = self._auditor(peer)
        key = auditor.identity.party().key(KeyUse.AGREEMENT)
        offer = open_document(envelope, Offer, required=(key,))
        body = offer.body
        name = _name(auditor, body.engagement)
        async with self._lock:
            kept = await self._store.offer(name)
            if kept is not None:
                if kept.offer == envelope.digest:
                    return _read(kept)
                state = self._state(kept)
                if state is Negotiation.ACCEPTED:
                    raise SignatureLocked(
                        "another offer is accepted until it expires", engagement=body.engagement, until=kept.valid_until
                    )
                if state is Negotiation.CONCLUDED:
                    raise OfferSuperseded("an agreement is in force for this engagement", engagement=body.engagement)
            self._check_time(offer)
            lint(body.policy)
            _compare(body, await auditor.terms(), auditor)
            advance(NEGOTIATION, Negotiation.OFFERED, NegotiationEvent.ACCEPT)
            agreement = sign_document(body, self._keys.agreement)
            accept = sign_document(
                Accept(
                    engagement=body.engagement,
                    offer=envelope.digest,
                    agreement=agreement.digest,
                    valid_until=offer.valid_until,
                ),
                self._keys.agreement,
            )
            await self._store.save_offer(
                StoredOffer(
                    name,
                    Negotiation.ACCEPTED.value,
                    envelope.digest,
                    agreement.digest,
                    accept.to_bytes() + b"\n" + agreement.to_bytes(),
                    offer.valid_until,
                )
            )
            return accept, agreement

    @carried_through
    async def conclude(self, envelope: Envelope, *, peer: str) -> Engagement:
        """Put an agreement with both signatures in force; again changes nothing.

        Raises:
            AgreementDigestMismatch: it is not the one we accepted.
            OfferExpired: our acceptance has expired.
            MissingRoleSignature, SignatureInvalid: not both sides signed it.
        """
        auditor = self._auditor(peer)
        theirs = auditor.identity.party().key(KeyUse.AGREEMENT)
        agreement = open_document(
            envelope, Agreement, required=(self._keys.agreement.key, theirs), known=(self._keys.record.key,)
        )
        async with self._lock:
            kept = await self._store.offer(_name(auditor, agreement.engagement))
            if kept is None or kept.agreement != envelope.digest:
                raise AgreementDigestMismatch("this is not the agreement we accepted", engagement=agreement.engagement)
            state = self._state(kept)
            if state is Negotiation.CONCLUDED:
                return self._engagements.add(envelope)
            if state is Negotiation.NONE:
                raise OfferExpired("our acceptance has expired", engagement=agreement.engagement)
            advance(NEGOTIATION, state, NegotiationEvent.CONCLUDE)
            await self._store.conclude(
                StoredAgreement(envelope.digest, envelope.to_bytes()),
                kept._replace(state=Negotiation.CONCLUDED.value),
            )
            return self._engagements.add(envelope)

    def _auditor(self, peer: str) -> Admitted:
        auditor = self._by_tls.get(peer)
        if auditor is None:
            raise PeerBindingMismatch("the TLS key is not that of an admitted auditor")
        return auditor

    def _state(self, kept: StoredOffer) -> Negotiation:
        state = Negotiation(kept.state)
        if state is Negotiation.ACCEPTED and self._clock.now() > parse_time(kept.valid_until):
            return advance(NEGOTIATION, state, NegotiationEvent.EXPIRE)
        return state

    def _check_time(self, offer: Offer) -> None:
        now, until = self._clock.now(), parse_time(offer.valid_until)
        if now > until:
            raise OfferExpired("the offer has expired", valid_until=offer.valid_until)
        if (until - now).total_seconds() > LATEST_OFFER_HOURS * 3600:
            raise TermsRefused("an offer is valid for at most a day", field="validUntil")


def _name(auditor: Admitted, engagement: str) -> str:
    # A space is in no name: two auditors may call their engagements alike and never learn of each other.
    return f"{auditor.identity.id} {engagement}"


def _read(kept: StoredOffer) -> tuple[Envelope, Envelope]:
    accept, agreement = kept.response.split(b"\n")
    return parse_envelope(accept), parse_envelope(agreement)


def _compare(body: Agreement, terms: Terms, auditor: Admitted) -> None:
    """Refuse what lies outside the terms, naming the field."""
    _check_parties(body, terms, auditor)
    if (body.transport.gateway, body.transport.auditor) != (terms.gateway, auditor.tls):
        raise TermsRefused("the offer pins other TLS keys", field="transport")
    offered = {variant.id: variant for variant in terms.variants}
    if any(offered.get(variant.id) != variant for variant in body.variants):
        raise TermsRefused("the offer names a variant we do not serve as described", field="variants")
    _within_scope(body, terms)
    _within_budget(body.budget, terms.budget)
    if not _within_access(body.access, terms.access):
        raise TermsRefused("the dates of access lie outside our terms", field="access")
    if body.supersedes is not None:
        raise TermsRefused("we do not amend agreements yet", field="supersedes")
    if body.timing != terms.timing:
        raise TermsRefused("the deadlines are not ours", field="timing")
    if body.origin != f"{terms.origin_prefix.rstrip('/')}/{body.engagement}":
        raise TermsRefused("the log's name is not ours", field="origin")
    if body.runtime != terms.runtime:
        raise TermsRefused("we do not run at this level", field="runtime")
    if body.policy != terms.policy:
        raise TermsRefused("the disclosure policy is not the one of our terms", field="policy")
    if body.witnesses.quorum:
        raise TermsRefused("we have not agreed to witnesses", field="witnesses")


def _check_parties(body: Agreement, terms: Terms, auditor: Admitted) -> None:
    if body.party("lab") != terms.lab:
        raise TermsRefused("the offer names other keys of ours", field="parties")
    if body.party("auditor") != auditor.identity.party():
        raise TermsRefused("the offer names other keys of the auditor than were admitted", field="parties")
    if any(party.role == "relay" for party in body.parties):
        # Who names a relay must attend it, or is blamed for what lies there unanswered.
        raise TermsRefused("we attend no relay yet", field="parties")


def _within_access(wanted: Access, ours: Access) -> bool:
    return (
        parse_time(ours.not_before) <= parse_time(wanted.not_before)
        and parse_time(wanted.not_after) <= parse_time(ours.not_after)
        and Decimal(wanted.business_days) <= Decimal(ours.business_days)
    )


def _within_scope(body: Agreement, terms: Terms) -> None:
    scope, ours = body.scope, terms.scope
    within = {
        "variants": set(scope.variants) <= set(ours.variants),
        "operations": set(scope.operations) <= set(ours.operations),
        "tools": ours.tools or not scope.tools,
        "maxTopLogprobs": scope.max_top_logprobs <= ours.max_top_logprobs,
        "maxOutputTokens": scope.max_output_tokens <= ours.max_output_tokens,
        "maxSessions": scope.max_sessions <= ours.max_sessions,
    }
    for field, holds in within.items():
        if not holds:
            raise TermsRefused(f"the offer asks for more than our terms: {field}", field=f"scope.{field}")


def _within_budget(wanted: Budget, ours: Budget) -> None:
    for field in type(ours).model_fields:
        if int(getattr(wanted, field)) > int(getattr(ours, field)):
            raise TermsRefused(f"the offer asks for more than our terms: {field}", field=f"budget.{field}")
