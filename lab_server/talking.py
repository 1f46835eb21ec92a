"""The lab's negotiations as they lie in the store; the gateway and the commands beside it read and extend the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attestations.documents.base import parse_time
from attestations.documents.engagement import LogReceipt
from attestations.envelope import Envelope
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from attestations.negotiation.happened import Happened, read_happened
from attestations.negotiation.ledger import Decide, Entry, Talk, parse_kept, replay, step
from attestations.negotiation.messages import Message, Sides, parse_message
from attestations.negotiation.speaking import Voice
from attestations.negotiation.thread import Thread
from lab_server.keyring import LabKeys
from lab_server.ports import Store, StoredAgreement


@dataclass(frozen=True)
class StoreLedger:
    """One negotiation in the store."""

    store: Store
    name: str

    async def entries(self) -> Sequence[Entry]:
        """Return every entry in order."""
        return [parse_kept(data) for data in await self.store.entries(self.name)]

    async def add(self, position: int, entries: Sequence[Entry], concluded: Envelope | None) -> bool:
        """Keep entries, or return False if another process took their place."""
        agreement = None if concluded is None else StoredAgreement(concluded.digest, concluded.to_bytes())
        return await self.store.add_entries(self.name, position, [entry.to_bytes() for entry in entries], agreement)


class Talks:
    """Finds the negotiation with one auditor over one engagement, and speaks in it for the lab."""

    def __init__(self, *, keys: LabKeys, store: Store) -> None:
        self._keys = keys
        self._store = store

    def talk(self, auditor: Identity, engagement: str) -> Talk:
        """Return one negotiation."""
        return Talk(self.sides(auditor), StoreLedger(self._store, talk_name(auditor.id, engagement)), self.happened)

    def voice(self, auditor: Identity) -> Voice:
        """Return what makes our messages to one auditor."""
        return Voice("lab", self._keys.agreement, self.sides(auditor))

    def sides(self, auditor: Identity) -> Sides:
        """Return both sides' agreement keys."""
        party = auditor.party()
        others = (KeyUse(key.use) for key in party.keys if key.use in ("exchange", "publication"))
        known = (self._keys.record.key, *(party.key(use) for use in others))
        return Sides(self._keys.agreement.key, party.key(KeyUse.AGREEMENT), known)

    async def happened(self, thread: Thread) -> Happened | None:
        """Return what the log of the agreement in force says."""
        if thread.first is None or thread.in_force is None:
            return None
        leaves = await self._store.steps(thread.first)
        in_force = thread.in_force.agreement
        return read_happened((leaf.data for leaf in leaves), agreement=in_force, digest=thread.first)

    async def catch_up(self, talk: Talk) -> None:
        """Note what the log already holds: an amendment or an end that was logged just before a crash."""
        thread = replay(await talk.ledger.entries(), talk.sides)
        if thread.first is None or (thread.lock is None and not thread.endings):
            return
        for leaf in await self._store.steps(thread.first):
            if leaf.kind not in ("amendment", "termination"):
                continue
            entry = parse_entry(leaf.data)
            waiting = {item.envelope.digest for item in thread.endings.values()}
            if thread.lock is not None:
                waiting.add(thread.lock.agreement.digest)
            if entry.documents[0].digest in waiting:
                by = thread.table.by if leaf.kind == "amendment" and thread.table is not None else "lab"
                message = parse_message(by, entry.documents[:1], talk.sides)
                logged = parse_time(LogReceipt.parse(entry.documents[-1].payload).logged_at)
                await step(talk, _only(message), logged)
                return


def _only(message: Message) -> Decide:
    return lambda *_: [message]


def talk_name(auditor: str, engagement: str) -> str:
    """Return the name a negotiation is kept under."""
    # A space is in no name: two auditors may call their engagements alike and never learn of each other.
    return f"{auditor} {engagement}"
