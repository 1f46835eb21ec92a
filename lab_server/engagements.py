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
    SafeconductError,
    SignerRoleMismatch,
    StoreFailed,
)
from attestations.keys import KeyUse
from attestations.statements import Stated, open_statement
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

        An engagement whose log does not extend its last cosigned checkpoint, or is damaged, is kept, but nothing
        is signed for it: a store restored from an old backup must not sign a second history.

        Raises:
            StoreFailed: the store cannot be read.
        """
        for stored in await self._store.agreements():
            await self._restore(parse_envelope(stored.envelope))

    async def reload(self, engagement: Engagement) -> Engagement:
        """Read an engagement again whose store failed, and go on from what is durable.

        Raises:
            StoreFailed: the store still cannot be read.
        """
        await engagement.log.settled()
        return await self._restore(engagement.envelope)

    async def _restore(self, envelope: Envelope) -> Engagement:
        engagement = self._made(envelope)
        try:
            closing = await self._store.closing(engagement.digest)
            leaves = self._store.leaves(engagement.digest, 0)
            await engagement.restore(leaves, None if closing is None else parse_envelope(closing))
            cosigned = await self._store.cosigned(engagement.digest)
            if cosigned is not None:
                engagement.log.check_extends(cosigned)
        except StoreFailed:
            raise
        except SafeconductError as error:
            engagement.log.break_off(LogRollback(f"the stored log is damaged: {error.message}"))
        self._by_digest[engagement.digest] = engagement
        return engagement

    async def refresh(self) -> None:
        """Take in agreements that another process has concluded."""
        for stored in await self._store.agreements():
            if stored.digest not in self._by_digest:
                self.add(parse_envelope(stored.envelope))

    def named(self, digest: str) -> Engagement | None:
        """Return the engagement of this agreement, whoever asks."""
        return self._by_digest.get(digest)

    def add(self, envelope: Envelope) -> Engagement:
        """Add an agreement that both sides have signed; again changes nothing."""
        return self._by_digest.get(envelope.digest) or self._by_digest.setdefault(envelope.digest, self._made(envelope))

    def _made(self, envelope: Envelope) -> Engagement:
        agreement = Agreement.parse(envelope.payload)
        log = EngagementLog(
            agreement=envelope.digest,
            origin=agreement.origin,
            keys=self._keys,
            store=self._store,
            clock=self._clock,
        )
        return Engagement(envelope=envelope, agreement=agreement, log=log)

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

    def stated(self, envelope: Envelope, *, peer: str | None) -> tuple[Engagement, Stated]:
        """Return a statement and the engagement it is about, of the peer's own, or of all for ourselves.

        Raises:
            EngagementUnknown, SignatureInvalid, SignerRoleMismatch, AttributionFailed and what parsing raises.
        """
        failure: SafeconductError = EngagementUnknown("no agreement with this auditor is in force here")
        for engagement in self._by_digest.values():
            if peer is not None and engagement.agreement.transport.auditor != peer:
                continue
            try:
                return engagement, open_statement(envelope, engagement.ledger.agreement, engagement.digest)
            except SafeconductError as error:
                failure = error
        raise failure

    def open(self, envelope: Envelope, kind: type[D], *, use: KeyUse, peer: str) -> tuple[Engagement, D]:
        """Return a document signed by the calling auditor, and the engagement it is about.

        The keys tried are those of the peer's own agreements, so nothing is parsed before a signature holds.

        Raises:
            EngagementUnknown, SignatureInvalid, SignerRoleMismatch, PayloadTypeMismatch and what parsing raises.
        """
        tried: dict[str, Engagement] = {}
        for engagement in self._by_digest.values():
            if engagement.agreement.transport.auditor == peer:
                tried.setdefault(engagement.auditor_keys[use].id, engagement)
        failure: SafeconductError = EngagementUnknown("no agreement with this auditor is in force here")
        for engagement in tried.values():
            key = engagement.auditor_keys[use]
            try:
                document = open_document(envelope, kind, required=(key,), known=engagement.known)
            except SafeconductError as error:
                failure = error
                continue
            meant = self.get(str(getattr(document, "agreement", "")), peer=peer)
            if meant.auditor_keys[use].id != key.id:
                raise SignerRoleMismatch("signed with the key of another agreement", use=use.value)
            return meant, document
        raise failure
