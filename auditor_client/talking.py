"""The auditor's negotiation as it lies in the journal, brought up to what the lab has said since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attestations.documents.base import parse_time
from attestations.envelope import Envelope
from attestations.errors import PeerError, RefusedError, SafeconductError
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.negotiation.happened import Happened, read_happened
from attestations.negotiation.ledger import Decide, Entry, Stand, Talk, give_up, parse_kept, stand, step
from attestations.negotiation.messages import (
    Accepted,
    Concluded,
    Message,
    Offered,
    Rejected,
    Sides,
    Terminated,
    Withdrawn,
    open_message,
)
from attestations.negotiation.speaking import Voice
from attestations.negotiation.thread import Thread
from auditor_client.engagement import AuditorKeys
from auditor_client.mirror import Mirror
from auditor_client.ports import Clock, Journal, Lab, LabMessage

_EXCHANGES = tuple(b'"kind":"%s"}' % kind for kind in (b"promise", b"record", b"session", b"refusal"))


@dataclass(frozen=True)
class JournalLedger:
    """One negotiation in the journal."""

    journal: Journal
    engagement: str

    @property
    def prefix(self) -> str:
        """How the names of the entries begin."""
        return f"negotiation/{self.engagement}/"

    async def entries(self) -> Sequence[Entry]:
        """Return every entry in order."""
        kept = (self.journal.recall(name) for name in self.journal.names(self.prefix))
        return [parse_kept(data) for data in kept if data is not None]

    async def add(self, position: int, entries: Sequence[Entry], concluded: Envelope | None) -> bool:  # noqa: ARG002
        """Keep entries; what is concluded becomes the agreement once the lab has it too."""
        named = {f"{self.prefix}{position + number:06d}": entry.to_bytes() for number, entry in enumerate(entries)}
        return await self.journal.remember_new(named)


@dataclass(frozen=True)
class Negotiator:
    """Speaks for the auditor in one negotiation; what it says is in the journal before the lab hears it."""

    engagement: str
    talk: Talk
    voice: Voice
    lab: Lab
    journal: Journal
    clock: Clock

    async def stand(self) -> Stand:
        """Return where the negotiation stands, as far as this side knows."""
        return await stand(self.talk, self.clock.now())

    async def step(self, decide: Decide) -> Stand:
        """Take messages that `decide` makes."""
        return await step(self.talk, decide, self.clock.now())

    async def deliver(self) -> None:
        """Send the lab what it has not confirmed yet, in order; a repeated message changes nothing there.

        Raises:
            RefusedError, PeerError: the lab refuses a message; nothing is built on it, and the next ones go out later.
            LabUnreachable: no answer came; the next call begins with the same message.
        """
        while True:
            waiting = [entry for entry in await self.talk.ledger.entries() if entry.by == "auditor" and entry.documents]
            heard = self._count(_HEARD)
            if heard >= len(waiting):
                return
            message = waiting[heard].message(self.talk.sides)
            try:
                answer = await self._send(message)
            except (RefusedError, PeerError):
                if not isinstance(message, Withdrawn | Rejected | Accepted):
                    await give_up(self.talk, message.envelope.digest, self.clock.now())
                await self._counted(_HEARD, heard + 1)
                raise
            if answer is not None:
                await self.step(only(answer))
            await self._counted(_HEARD, heard + 1)

    async def _send(self, message: Message) -> Message | None:
        match message:
            case Offered():
                answer = await self.lab.offer(message.envelope, message.consents)
                return None if answer is None else self._opened(answer.accept, answer.agreement)
            case Accepted():
                concluded = await self.lab.accept(message.envelope, message.agreement)
                return None if concluded is None else self._opened(concluded)
            case Concluded():
                await self.lab.conclude(message.envelope)
            case Withdrawn():
                await self.lab.withdraw(message.envelope)
            case Rejected():
                await self.lab.reject(message.envelope)
            case Terminated():
                await self.lab.terminate(message.envelope)
        return None

    def _opened(self, *documents: Envelope) -> Message:
        # What the lab signs in answer is not its refusal: an error from here says that the lab broke a rule.
        return open_message("lab", documents, self.talk.sides)

    async def sync(self) -> Stand:
        """Send what is unsent, fetch what the lab has said since, and take it.

        A message counts by the time the lab states for it, because it waited for us and not we for it; anything we
        have done since comes first all the same.

        Raises:
            SafeconductError: the first message that breaks a rule; it is left aside and what follows is taken.
        """
        await self.deliver()
        refused: SafeconductError | None = None
        while True:
            seen = self._count(_SAID)
            messages = await self.lab.negotiation(self.engagement, start=seen)
            for number, item in enumerate(messages, seen + 1):
                try:
                    await self._take(item)
                except (PeerError, RefusedError) as error:
                    refused = refused or error
                await self._counted(_SAID, number)
            if len(messages) < _PAGE:
                break
        if refused is not None:
            raise refused
        return await self.stand()

    async def _take(self, item: LabMessage) -> None:
        message = open_message("lab", item.documents, self.talk.sides)
        now, made = self.clock.now(), parse_time(item.made_at)
        entries = await self.talk.ledger.entries()
        last = max((parse_time(entry.at) for entry in entries), default=made)
        await step(self.talk, only(message), min(now, max(made, last)))

    def _count(self, what: str) -> int:
        kept = self.journal.recall(f"{what}/{self.engagement}")
        return 0 if kept is None else int(kept)

    async def _counted(self, what: str, number: int) -> None:
        await self.journal.remember(f"{what}/{self.engagement}", str(number).encode())


_SAID, _HEARD = "negotiation-said", "negotiation-heard"  # how many messages of each side have arrived at the other
_PAGE = 8  # the most the lab answers at once


def negotiator(
    engagement: str,
    *,
    lab_identity: Identity,
    keys: AuditorKeys,
    lab: Lab,
    journal: Journal,
    clock: Clock,
    mirror: Mirror | None = None,
) -> Negotiator:
    """Return the negotiation over one engagement."""
    party = lab_identity.party()
    sides = Sides(
        party.key(KeyUse.AGREEMENT),
        keys.agreement.key,
        (party.key(KeyUse.RECORD), keys.exchange.key, keys.publication.key),
    )

    async def happened(thread: Thread) -> Happened | None:
        if mirror is None or thread.in_force is None or thread.first is None:
            return None
        leaves = (leaf for leaf in mirror.leaves() if not leaf.endswith(_EXCHANGES))
        return read_happened(leaves, agreement=thread.in_force.agreement, digest=thread.first)

    talk = Talk(sides, JournalLedger(journal, engagement), happened)
    return Negotiator(engagement, talk, Voice("auditor", keys.agreement, sides), lab, journal, clock)


def only(message: Message) -> Decide:
    """Return a decision for exactly one message, whatever the thread says."""

    def decide(thread: Thread, now: datetime) -> Sequence[Message]:  # noqa: ARG001 - the shape of a decision
        return [message]

    return decide
