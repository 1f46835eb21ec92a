"""I19 from the lab's side: whatever its disk does, nobody ever holds two answers of it to one place."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from attestations.documents.exchange import Intent
from attestations.envelope import Envelope
from attestations.errors import StoreFailed
from attestations.states import PhaseEvent
from lab_server.engagement import Engagement, Session
from lab_server.engagements import Engagements
from lab_server.exchanging import Exchanging
from lab_server.keyring import LabKeys
from lab_server.steps import Steps
from lab_server.storage.memory import MemoryStore
from tests.support.dispute import START, Desk, signed_agreement
from tests.support.world_agreement import keys

DESK = Desk(relay=False)
GRANT = DESK.grant()


class Clock:
    def now(self) -> datetime:
        return START


class Lab:
    """A lab in memory whose disk may be full, with one session open; what it shows is kept."""

    def __init__(self) -> None:
        held = keys()
        signers = LabKeys(agreement=held.lab_agreement, record=held.lab_record, log=held.lab_log)
        self.store, self.shown = MemoryStore(), list[Envelope]()
        self.engagements = Engagements(keys=signers, store=self.store, clock=Clock())
        nobody: Any = SimpleNamespace(refuses=lambda hook: None)  # no request is revealed here
        self.exchanging = Exchanging(keys=signers, store=self.store, worker=nobody, clock=Clock(), steps=Steps())
        self.engagement = self.engagements.add(signed_agreement(relay=False))

    async def begin(self) -> None:
        # What is registered does not matter here.
        await self.engagement.log.append_receipted("registration", DESK.intent(9))
        self.engagement.move(PhaseEvent.REGISTER)
        self.open(self.engagement)

    def open(self, engagement: Engagement) -> None:
        self.engagement = engagement
        engagement.evidence["77" * 32] = "66" * 32
        engagement.sessions[DESK.session] = Session(DESK.session, 0, GRANT.digest)

    async def ask(self, envelope: Envelope) -> bool:
        """Send an Intent; tell whether anything came back."""
        try:
            answers = await self.exchanging.intend(self.engagement, envelope, Intent.parse(envelope.payload))
        except StoreFailed:
            return False
        self.shown += [answer for answer in answers if isinstance(answer, Envelope)]
        return True


async def test_a_promise_that_did_not_become_durable_is_never_shown() -> None:
    lab = Lab()
    await lab.begin()
    intent = DESK.intent(0, prev=GRANT.digest)
    lab.store.full = True
    assert not await lab.ask(intent)
    assert not await lab.ask(intent)  # the same Intent again, while the disk is still full
    lab.store.full = False
    assert not await lab.ask(intent)  # nothing more is signed until the engagement is read again
    lab.open(await lab.engagements.reload(lab.engagement))
    assert await lab.ask(intent)
    assert await lab.ask(intent)

    assert len({answer.digest for answer in lab.shown}) == 1
    assert DESK.judge(intent, *lab.shown).blamed == frozenset()
