"""Asks questions as they come, each an exchange like any other, and gives each asker its answer.

What is asked here belongs to no scheduled task: it is in the transcript, counted by its purpose, and feeds no
figure. Lanes, journal and checks are those of a campaign, and so is what survives a crash.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from attestations.documents.exchange import Record
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import RefusedError, SafeconductError
from auditor_client.access import check_open
from auditor_client.campaign_state import Ending, Item, Session, auxiliary
from auditor_client.checking import ModelAnswer, parse_answer
from auditor_client.cosigning import Cosigner
from auditor_client.cosigning_in_time import cosign_in_time
from auditor_client.desk import Ask, Desk, Patience
from auditor_client.engagement import Engagement
from auditor_client.intending import Question, Randomness
from auditor_client.lane import Lane, refusal_of
from auditor_client.ports import Clock, Journal, Lab

# Ends of an exchange that another one would meet as well.
_FINAL_CODES = frozenset({"BACKEND_CONTEXT_EXCEEDED", "BACKEND_UNSUPPORTED", "MODEL_CHANGED", "VARIANT_NOT_SERVED"})


@dataclass(frozen=True, repr=False)
class Answered:
    """How a question ended: the Record, and the answer where there is one."""

    question: Question
    session: str
    seq: int
    envelope: Envelope
    record: Record
    answer: ModelAnswer | None


@dataclass(eq=False, repr=False)
class _Asked:
    question: Question
    done: asyncio.Future[Answered]


@dataclass(repr=False)
class Questioner:
    """Asks for one purpose over as many lanes as are needed, at most `lanes`; use as `async with`."""

    engagement: Engagement
    link_key: bytes
    max_attempts: int
    lab: Lab
    journal: Journal
    cosigner: Cosigner
    clock: Clock
    randomness: Randomness
    tls: str
    patience: Patience
    purpose: str
    scheduled: Ask
    lanes: int
    _waiting: deque[_Asked] = field(default_factory=deque)
    _asked: dict[int, _Asked] = field(default_factory=dict)
    _unused: list[int] = field(default_factory=list)  # numbers whose Intents were never promised
    _next_number: int = 0
    _sessions: deque[Session] = field(default_factory=deque)
    _fresh: int = 0  # sessions the agreement still lets us open
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _idle: int = 0
    _wake: asyncio.Condition = field(default_factory=asyncio.Condition)
    _closed: bool = False
    _returned: dict[asyncio.Task[None] | None, _Asked] = field(default_factory=dict)  # by the lane's task
    _broken: SafeconductError | None = None
    _follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Take up what a crash left open; its answers go into the transcript, though nobody waits for them."""
        taken = self.journal.auxiliary(self.purpose)
        open_now = [pending for session in self.journal.sessions() if (pending := self.journal.pending(session.name))]
        begun = {pending.item.epoch for pending in open_now if pending.item.purpose == self.purpose}
        self._next_number = len(taken)
        self._unused = [item.epoch for item in taken if item.state == "WAITING" and item.epoch not in begun]
        self._desk = self._new_desk()
        self._follower = asyncio.create_task(cosign_in_time(self._desk))  # before any lane, so that it hears of all
        self._follower.add_done_callback(self._followed)
        known = self.journal.sessions()
        busy = {pending.session for pending in open_now}
        self._sessions = deque(session for session in known if session.name not in busy)
        self._fresh = self.engagement.agreement.scope.max_sessions - len(known)
        for session in known:
            if session.name in busy:
                self._start(session)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Wait a while for every exchange that was begun, and cosign the log; the journal holds what is open still."""
        self._closed = True
        for asked in self._waiting:
            asked.done.cancel()
        self._waiting.clear()
        async with self._wake:
            self._wake.notify_all()
        if self._running:
            _ended, late = await asyncio.wait(self._running, timeout=self.patience.answer)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        if self._broken is None:
            await self.cosigner.cosign()

    async def ask(self, question: Question) -> Answered:
        """Ask once and return how it ended, answered or not.

        Cancelling takes a question back that waits for a lane. One whose Intent is signed runs to its end, as the lab
        is bound to it and the transcript has to show it.

        Raises:
            RefusedError: the lab refused by a signed reason, or the agreement does not allow it.
            PeerError, EvidenceError: the lab broke the protocol; nothing more can be asked here.
            LabUnreachable: it did not answer for as long as `Patience.give_up`.
        """
        if self._broken is not None:
            raise self._broken
        check_open(self.engagement.agreement.access, self.clock.now(), left=1)
        asked = _Asked(question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._waiting) > self._idle and len(self._running) < self.lanes:
            if self._sessions:
                self._start(self._sessions.popleft())
            elif self._fresh > 0:
                self._fresh -= 1
                self._start(None)
        async with self._wake:
            self._wake.notify()
        return await asked.done

    async def answer(self, question: Question) -> Answered:
        """Ask until there is an answer, each time as an exchange of its own, at most `max_attempts` times.

        What would end the same way again is not asked again; how the last exchange ended is returned.

        Raises:
            As `ask`.
        """
        answered = await self.ask(question)
        for _ in range(self.max_attempts - 1):
            if answered.answer is not None or _is_final(answered.record):
                break
            answered = await self.ask(question)
        return answered

    def _new_desk(self) -> Desk:
        return Desk(
            engagement=self.engagement,
            lab=self.lab,
            journal=self.journal,
            clock=self.clock,
            cosigner=self.cosigner,
            randomness=self.randomness,
            question=self._question,
            link_key=self.link_key,
            max_attempts=self.max_attempts,
            tls=self.tls,
            patience=self.patience,
            may_begin=lambda: False,  # a scheduled item that a crash left here goes on in its campaign
            next_item=self._next_item,
            return_item=self._return_item,
            on_ended=self._on_ended,
            wait=self._wait,
        )

    def _question(self, item: Item, answers: Sequence[bytes]) -> Question | None:
        return self._asked[item.epoch].question if item.purpose == self.purpose else self.scheduled(item, answers)

    def _start(self, session: Session | None) -> None:
        task = asyncio.create_task(self._run(Lane(self._desk, session)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, lane: Lane) -> None:
        while not self._closed or self._waiting:
            try:
                await lane.run()
            except SafeconductError as error:
                returned = self._returned.pop(asyncio.current_task(), None)
                if returned is not None:  # no Intent could be made: nothing was sent, and the lane is as it was
                    _fail(returned, error)
                elif not isinstance(error, RefusedError):  # of a refusal the one who asked has heard
                    self._break(error)
                    return
            else:
                return

    def _break(self, error: SafeconductError) -> None:
        self._broken = error
        for asked in (*self._waiting, *self._asked.values()):
            _fail(asked, error)
        self._waiting.clear()
        self._asked.clear()

    def _next_item(self) -> Item | None:
        while self._waiting:
            asked = self._waiting.popleft()
            if asked.done.done():
                continue  # taken back
            number = heapq.heappop(self._unused) if self._unused else self._next_number
            self._next_number = max(self._next_number, number + 1)
            self._asked[number] = asked
            return auxiliary(self.purpose, number)
        return None

    def _return_item(self, item: Item) -> None:
        """Hear that no Intent could be made for an item, before the lane says why."""
        if item.purpose == self.purpose:
            heapq.heappush(self._unused, item.epoch)
            self._returned[asyncio.current_task()] = self._asked.pop(item.epoch)

    def _followed(self, follower: asyncio.Task[None]) -> None:
        error = None if follower.cancelled() else follower.exception()
        if isinstance(error, SafeconductError):
            self._break(error)

    async def _wait(self) -> bool:
        self._idle += 1
        try:
            async with self._wake:
                await self._wake.wait_for(lambda: bool(self._waiting) or self._closed)
        finally:
            self._idle -= 1
        return bool(self._waiting)

    def _on_ended(self, ending: Ending) -> None:
        if ending.item.purpose != self.purpose:
            return
        asked = self._asked.pop(ending.item.epoch, None)
        error = refusal_of(ending)
        if error is not None:
            heapq.heappush(self._unused, ending.item.epoch)
        if asked is None:
            return  # it was begun before a crash
        if error is not None:
            _fail(asked, error)
        elif not asked.done.done():
            asked.done.set_result(_answered(asked.question, ending))


def _is_final(record: Record) -> bool:
    return record.status == "REFUSED_POLICY" or record.code in _FINAL_CODES


def _fail(asked: _Asked, error: SafeconductError) -> None:
    if not asked.done.done():
        asked.done.set_exception(error)


def _answered(question: Question, ending: Ending) -> Answered:
    envelope = parse_envelope(ending.document)
    answer = None if ending.result is None else parse_answer(question.request.operation, ending.result)
    return Answered(question, ending.session, ending.seq, envelope, Record.parse(envelope.payload), answer)
