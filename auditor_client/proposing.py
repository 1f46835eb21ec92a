"""Comes to an agreement with a lab: its terms, our offer, a signature lock, both signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from attestations.documents.agreement import Agreement, Terms, Transport
from attestations.documents.base import format_time, parse_time
from attestations.envelope import Envelope, open_document, parse_envelope
from attestations.errors import (
    PeerBindingMismatch,
    SignerRoleMismatch,
    TermsRefused,
)
from attestations.escrow.structure import Escrow
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.negotiation.ledger import Stand
from attestations.negotiation.messages import Concluded, Message, Sides, open_signed
from attestations.negotiation.speaking import until
from attestations.negotiation.thread import Thread
from auditor_client.cosigning import IN_FORCE
from auditor_client.engagement import AuditorKeys, Engagement
from auditor_client.ports import Clock, Journal, Lab
from auditor_client.talking import Negotiator, negotiator

AGREEMENT = "agreement"
TERMS = "terms"
_VALID_HOURS = 1 / 6  # the lab's signature lock holds as long, so it is kept short where no person has to read
_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True)
class Proposal:
    """What we bring to the table besides the lab's terms; our offer is valid for `hours`."""

    engagement: str
    lab: Identity
    auditor: Identity
    recipients: Sequence[Identity]
    auditor_tls: str
    lab_tls: str
    hours: float = _VALID_HOURS
    escrow: Escrow | None = None


async def propose(
    proposal: Proposal,
    *,
    lab: Lab,
    journal: Journal,
    keys: AuditorKeys,
    clock: Clock,
    changes: dict[str, Any] | None = None,
) -> Engagement | None:
    """Bring an agreement into force, or take up where we stand; None while a person at the lab decides.

    Args:
        proposal: who we are and what we are to agree on.
        lab: the lab.
        journal: where everything we say is kept before the lab hears it.
        keys: our signers.
        clock: tells the time.
        changes: parts of the agreement in which we ask for something else than the lab's terms.

    Raises:
        PeerBindingMismatch: the terms pin another TLS key than the lab's identity file.
        PolicyUnsatisfiable: the lab's policy breaks a rule of the linter, or the escrow cannot work.
        TermsRefused, SignatureLocked, OfferExpired: as the lab says, or its terms are only of the past.
        AgreementDigestMismatch: the lab signed something else than what was offered.
    """
    kept = journal.recall(AGREEMENT)
    if kept is not None:
        await lab.conclude(open_engagement(kept, keys).envelope)
        return open_current(journal, keys)
    talks = negotiator(proposal.engagement, lab_identity=proposal.lab, keys=keys, lab=lab, journal=journal, clock=clock)
    stood = await talks.sync()
    if stood.thread.in_force is None and stood.thread.lock is None:
        stood = await _offer(proposal, talks, stood, changes)
    return await settle(talks, stood, keys)


async def settle(talks: Negotiator, stood: Stand, keys: AuditorKeys) -> Engagement | None:
    """Conclude what the lab has accepted, and return the agreement in force; None while none is.

    What we conclude counts for this folder once the lab has it.

    Raises:
        ProtectedClauseViolation, AmendmentRetroactive, PhaseViolation: the lab may not log this amendment; what it
            was to supersede stays in force.
        OfferExpired: our signature came too late for a first agreement; it takes another engagement's name.
    """
    if stood.thread.lock is not None and stood.thread.lock.by == "lab":
        stood = await talks.step(lambda thread, _: [talks.voice.conclude(thread)])
        await talks.deliver()
    for entry in reversed(stood.entries):
        message = entry.message(talks.talk.sides) if entry.documents else None
        in_force = stood.thread.in_force
        if isinstance(message, Concluded) and in_force is not None and message.envelope.digest == in_force.digest:
            name = AGREEMENT if message.agreement.supersedes is None else IN_FORCE
            await talks.journal.remember(name, message.envelope.to_bytes())
            break
    return open_current(talks.journal, keys)


def open_engagement(data: bytes, keys: AuditorKeys) -> Engagement:
    """Return an agreement that both sides signed, with our signers.

    Raises:
        MissingRoleSignature, SignatureInvalid: not both sides signed it.
        SignerRoleMismatch: it names other keys of ours than we hold.
    """
    envelope = parse_envelope(data)
    # Parsed before it is verified only to learn which keys must have signed it; then opened under exactly these.
    claimed = Agreement.parse(envelope.payload)
    required = (claimed.lab_key(KeyUse.AGREEMENT), claimed.auditor_key(KeyUse.AGREEMENT))
    agreement = open_document(envelope, Agreement, required=required)
    ours = {
        KeyUse.AGREEMENT: keys.agreement,
        KeyUse.EXCHANGE: keys.exchange,
        KeyUse.COSIGN: keys.cosign,
        KeyUse.PUBLICATION: keys.publication,
    }
    for use, signer in ours.items():
        if agreement.auditor_key(use).public != signer.key.public:
            raise SignerRoleMismatch("the agreement names another key of ours", use=use.value)
    return Engagement(agreement, envelope, keys)


def open_current(journal: Journal, keys: AuditorKeys) -> Engagement | None:
    """Return the engagement under its agreement as last amended, or None while there is no agreement.

    Its digest stays that of the first agreement: it is the engagement's name in every document.
    """
    first, amended = journal.recall(AGREEMENT), journal.recall(IN_FORCE)
    if first is None:
        return None
    engagement = open_engagement(first, keys)
    if amended is None:
        return engagement
    sides = (engagement.agreement.lab_key(KeyUse.AGREEMENT), keys.agreement.key)
    current, _ = open_signed(parse_envelope(amended), sides, Sides(*sides, tuple(engagement.known)))
    return replace(engagement, agreement=current)


async def fetch_terms(proposal: Proposal, lab: Lab, journal: Journal) -> Terms:
    """Return the lab's terms, checked against its identity file, and keep them for reviews."""
    envelope = await lab.terms()
    terms = _terms(envelope, proposal)
    await journal.remember(TERMS, envelope.to_bytes())
    return terms


def kept_terms(journal: Journal) -> Terms | None:
    """Return the terms that were last fetched."""
    kept = journal.recall(TERMS)
    return None if kept is None else Terms.parse(parse_envelope(kept).payload)


def proposed(proposal: Proposal, terms: Terms, now: datetime, changes: dict[str, Any] | None = None) -> Agreement:
    """Return the agreement the lab's terms give us, with our changes."""
    agreement = Agreement(
        engagement=proposal.engagement,
        parties=(terms.lab, proposal.auditor.party(), *(recipient.party() for recipient in proposal.recipients)),
        transport=Transport(gateway=terms.gateway, auditor=proposal.auditor_tls),
        variants=terms.variants,
        scope=terms.scope,
        budget=terms.budget,
        fine_tuning=terms.fine_tuning,
        access=terms.access,
        timing=terms.timing,
        origin=f"{terms.origin_prefix.rstrip('/')}/{proposal.engagement}",
        runtime=terms.runtime,
        policy=terms.policy,
        escrow=proposal.escrow,
        clauses=terms.clauses,
        created_at=format_time(now),
    )
    return agreement.model_copy(update=changes or {})


async def _offer(proposal: Proposal, talks: Negotiator, stood: Stand, changes: dict[str, Any] | None) -> Stand:
    table = stood.thread.table
    # An offer of ours that is still good stays: whoever sends it again gets the same answer.
    again = table is not None and table.by == "auditor" and _good(table.offer.valid_until, talks.clock.now())
    if not again or changes is not None:
        terms = await fetch_terms(proposal, talks.lab, talks.journal)

        def decide(thread: Thread, now: datetime) -> list[Message]:
            body = proposed(proposal, terms, now, changes)
            ended = body.access.not_after
            if parse_time(ended) < now:
                raise TermsRefused(f"access ended at {ended} by these terms: ask the lab for new dates", field="access")
            return [talks.voice.offer(thread, body, until(now, proposal.hours))]

        await talks.step(decide)
    await talks.deliver()
    return await talks.stand()


def _good(valid_until: str, now: datetime) -> bool:
    return parse_time(valid_until) > now + _MARGIN


def _terms(envelope: Envelope, proposal: Proposal) -> Terms:
    lab = proposal.lab.party()
    terms = open_document(envelope, Terms, required=(lab.key(KeyUse.AGREEMENT),))
    if terms.lab.id != lab.id or {(key.use, key.public) for key in terms.lab.keys} != {
        (key.use, key.public) for key in lab.keys
    }:
        raise PeerBindingMismatch("the terms name other keys than the lab's identity file", lab=lab.id)
    if terms.gateway != proposal.lab_tls:
        raise PeerBindingMismatch("the terms pin another TLS key than the lab's identity file", lab=lab.id)
    if terms.auditor != proposal.auditor.id:
        raise PeerBindingMismatch("the terms are for another auditor", auditor=proposal.auditor.id)
    return terms
