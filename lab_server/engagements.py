"""Every agreement in force at this lab, and who may speak for which."""

from __future__ import annotations

from typing import TypeVar

from attestations.documents.agreement import Agreement
from attestations.documents.base import Document
from attestations.envelope import Envelope, open_document, parse_envelope
from attestations.errors import (
    CloseStatementMismatch,
    EngagementUnknown,
    LogRollback,
    MalformedEnvelope,
    SafeconductError,
)
from attestations.keys import KeyUse
from lab_server.engagement import Engagement
from lab_server.keyring import LabKeys
from lab_server.log import EngagementLog
from lab_server.ports import Clock, Store

D = TypeVar("D", bound=Document)


class Engagements:
    """Holds the engagements; auditors see only their own."""

    def __init__(self, *, keys: LabKeys, store: Store, clock: Clock) -> None:
        self._keys = keys
        self._store = store
        self._clock = clock
        self._by_digest: dict[str, Engagement] = {}

    @property
    def all(self) -> list[Engagement]:
        """Every engagement."""
        return list(self._by_digest.values())

    async def restore(self) -> None:
        """Take back every engagement from the store.

        An engagement whose log does not extend its last cosigned checkpoint is kept, but nothing is signed
        for it: a store restored from an old backup must not sign a second history.
        """
        for stored in await self._store.agreements():
            engagement = self.add(parse_envelope(stored.envelope))
            try:
                await engagement.restore(self._store.leaves(engagement.digest, 0))
                cosigned = await self._store.cosigned(engagement.digest)
                if cosigned is not None:
                    engagement.log.check_extends(cosigned)
            except (LogRollback, MalformedEnvelope) as error:
                engagement.log.break_off(error.message)

    def add(self, envelope: Envelope) -> Engagement:
        """Add an agreement that both sides have signed; again changes nothing."""
        known = self._by_digest.get(envelope.digest)
        if known is not None:
            return known
        agreement = Agreement.parse(envelope.payload)
        log = EngagementLog(
            agreement=envelope.digest,
            origin=agreement.origin,
            keys=self._keys,
            store=self._store,
            clock=self._clock,
        )
        engagement = Engagement(envelope=envelope, agreement=agreement, log=log)
        self._by_digest[engagement.digest] = engagement
        return engagement

    def get(self, digest: str, *, peer: str) -> Engagement:
        """Return the engagement of this agreement if the TLS peer is its auditor.

        Raises:
            EngagementUnknown: no such agreement is in force, or it is not this auditor's: one may not learn which.
        """
        engagement = self._by_digest.get(digest)
        if engagement is None or engagement.agreement.transport.auditor != peer:
            raise EngagementUnknown("no agreement of this digest is in force here", agreement=digest[:64])
        return engagement

    def about(self, envelope: Envelope, *, peer: str) -> Engagement:
        """Return the peer's engagement whose close statement this is; its signatures are checked by the caller."""
        for engagement in self._by_digest.values():
            ours = engagement.close
            if engagement.agreement.transport.auditor == peer and ours is not None and ours.digest == envelope.digest:
                return engagement
        raise CloseStatementMismatch("this is not a close statement we signed")

    def open(self, envelope: Envelope, kind: type[D], *, use: KeyUse, peer: str) -> tuple[Engagement, D]:
        """Return a document signed by the calling auditor, and the engagement it is about.

        The keys tried are those of the peer's own agreements, so nothing is parsed before a signature holds.

        Raises:
            EngagementUnknown, SignatureInvalid, SignerRoleMismatch, PayloadTypeMismatch and what parsing raises.
        """
        mine = [item for item in self._by_digest.values() if item.agreement.transport.auditor == peer]
        tried: dict[str, Engagement] = {}
        for engagement in mine:
            tried.setdefault(engagement.agreement.auditor_key(use).id, engagement)
        failure: SafeconductError = EngagementUnknown("no agreement with this auditor is in force here")
        for engagement in tried.values():
            key = engagement.agreement.auditor_key(use)
            try:
                document = open_document(envelope, kind, required=(key,), known=engagement.known)
            except SafeconductError as error:
                failure = error
                continue
            return self.get(str(getattr(document, "agreement", "")), peer=peer), document
        raise failure
