"""Steps of an engagement around its exchanges: registration, cosignatures, close and grades."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from attestations.documents.base import format_time
from attestations.documents.drawing import Draw
from attestations.documents.engagement import CloseStatement, PreRegistration, SessionEnd
from attestations.envelope import Envelope, open_document, sign_document
from attestations.errors import (
    CloseStatementMismatch,
    PhaseViolation,
    PreRegistrationAltered,
    RegistrationTooLate,
    WorkerUnavailable,
)
from attestations.keys import KeyUse
from attestations.log_entries import Kind
from attestations.states import PHASES, PhaseEvent, advance
from lab_server.drawing import Drawing
from lab_server.engagement import Engagement
from lab_server.keyring import LabKeys
from lab_server.ports import Store
from lab_server.steps import Steps, carried_through

Forget = Callable[[str], Awaitable[None]]


class Transcribing:
    """Puts the documents of an engagement's steps into its log."""

    def __init__(self, *, keys: LabKeys, store: Store, steps: Steps, drawing: Drawing, forget: Forget) -> None:
        """`forget` has the worker destroy what it holds of an agreement."""
        self._keys = keys
        self._forget = forget
        self._store = store
        self._steps = steps
        self._drawing = drawing

    @carried_through
    async def register(self, engagement: Engagement, envelope: Envelope, document: PreRegistration) -> Envelope:
        """Log the registration as the first leaf and return the receipt.

        Raises:
            PreRegistrationAltered: another one is registered.
            RegistrationTooLate: something has been promised.
        """
        async with engagement.change:
            if engagement.registration is not None:
                if engagement.registration.digest != envelope.digest:
                    raise PreRegistrationAltered("another suite is registered under this agreement")
                return engagement.receipts[envelope.digest]
            if engagement.promised:
                raise RegistrationTooLate("something has been promised already")
            share_commit = None if document.draw is None else await self._drawing.commitment(engagement)
            return await self._step(
                engagement, "registration", envelope, PhaseEvent.REGISTER, share_commit=share_commit
            )

    @carried_through
    async def draw(self, engagement: Engagement, envelope: Envelope, document: Draw) -> Envelope:
        """Log the draw that was registered and show our share in the receipt; again gives the same receipt.

        Raises:
            SelectionNotReproducible: it does not follow from the registration, or another one was made.
            PhaseViolation: something has been promised, or nothing is registered.
        """
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            advance(PHASES, engagement.phase, PhaseEvent.DRAW)
            share = await self._drawing.share_for(engagement, document)
            receipt = await self._step(engagement, "draw", envelope, PhaseEvent.DRAW, share=share)
            engagement.draw = envelope
            return receipt

    @carried_through
    async def close(self, engagement: Engagement) -> Envelope:
        """End the run and return our close statement; the same bytes until both sides have signed.

        Raises:
            PhaseViolation: exchanges are running, or there is nothing to close.
        """
        async with engagement.change:
            if engagement.close is not None:
                return engagement.close
            advance(PHASES, engagement.phase, PhaseEvent.CLOSE)
            if engagement.open_exchanges:
                raise PhaseViolation("exchanges are still running", state=engagement.phase.value)
            engagement.move(PhaseEvent.CLOSE)
            # Leaves that have their place must be durable before we sign for how many there are.
            await engagement.log.settled()
            engagement.log.check_whole()
            statement = CloseStatement(
                agreement=engagement.digest,
                sessions=tuple(
                    SessionEnd(session=session.name, next_seq=session.next_seq)
                    for session in sorted(engagement.sessions.values(), key=lambda item: item.name)
                ),
                tree_size=str(engagement.log.size),
                root=engagement.log.root(),
                counts=engagement.status_counts(),
                meter=engagement.book.meter(),
                closed_at=format_time(engagement.log.time()),
            )
            envelope = sign_document(statement, self._keys.record)
            await self._store.save_closing(engagement.digest, envelope.to_bytes())
            engagement.close = envelope
            return envelope

    @carried_through
    async def confirm_close(self, engagement: Engagement, envelope: Envelope) -> Envelope:
        """Log the close statement with both signatures and return the receipt.

        Raises:
            CloseStatementMismatch: it is not ours.
            MissingRoleSignature, SignatureInvalid: it is not signed by both.
        """
        open_document(
            envelope,
            CloseStatement,
            required=(self._keys.record.key, engagement.auditor_keys[KeyUse.EXCHANGE]),
            known=engagement.known,
        )
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            ours = engagement.close
            if ours is None or ours.digest != envelope.digest:
                raise CloseStatementMismatch("this is not the close statement we signed")
            receipt = await self._step(engagement, "close", envelope, PhaseEvent.CONFIRM_CLOSE)
        # Nothing is asked any more. A worker that is away holds nothing either.
        with suppress(WorkerUnavailable):
            await self._forget(engagement.digest)
        return receipt

    @carried_through
    async def commit_grades(self, engagement: Engagement, envelope: Envelope) -> Envelope:
        """Log the commitment to every grade and return the receipt."""
        async with engagement.change:
            if envelope.digest in engagement.receipts:
                return engagement.receipts[envelope.digest]
            return await self._step(engagement, "grades", envelope, PhaseEvent.COMMIT_GRADES)

    async def _step(
        self,
        engagement: Engagement,
        kind: Kind,
        envelope: Envelope,
        event: PhaseEvent,
        *,
        share_commit: str | None = None,
        share: str | None = None,
    ) -> Envelope:
        advance(PHASES, engagement.phase, event)
        receipt = await engagement.log.append_receipted(kind, envelope, share_commit=share_commit, share=share)
        engagement.move(event)
        engagement.logged(kind, envelope, receipt)
        if kind == "registration":
            engagement.registration = envelope
        if kind == "close":
            engagement.close = envelope
        return receipt
