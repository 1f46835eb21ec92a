"""Asks questions as they come, each an exchange like any other, and gives each asker its answer.

What is asked here belongs to no scheduled task: it is in the transcript, counted by its purpose, and feeds no
figure. Lanes, journal and checks are those of a campaign, and so is what survives a crash.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from attestations.commitments import AUX_PURPOSES
from attestations.errors import RefusedError, SafeconductError, ScopeExceeded
from auditor_client.access import check_open
from auditor_client.asked import Answered, Asked, Line, answered_by, fail, is_final
from auditor_client.campaign_state import Ending, Item, Session, auxiliary
from auditor_client.cosigning import Cosigner
from auditor_client.cosigning_in_time import cosign_in_time
from auditor_client.desk import Ask, Desk, Patience
from auditor_client.engagement import Engagement
from auditor_client.intending import Question, Randomness
from auditor_client.lane import Lane, refusal_of
from auditor_client.numbering import Numbers
from auditor_client.ports import Clock, Journal, Lab


@dataclass(repr=False)
class Questioner:
    """Asks over as many lanes as are needed, at most `lanes`; use as `async with`.

    `purpose` is what questions are asked for that name no other; `kept` are sessions that are kept for `own_line`,
    and `reserved` is how many lanes questions without a line of their own leave to others.
    """

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
    kept: tuple[str, ...] = ()
    reserved: int = 0
    _line: Line = field(default_factory=Line)
    _own: list[Line] = field(default_factory=list)
    _resumed: deque[Line] = field(default_factory=deque)
    _asked: dict[tuple[str, int], Asked] = field(default_factory=dict)
    _numbers: dict[str, Numbers] = field(default_factory=dict)
    _sessions: deque[Session] = field(default_factory=deque)
    _fresh: int = 0  # sessions the agreement still lets us open
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _wake: asyncio.Condition = field(default_factory=asyncio.Condition)
    _closed: bool = False
    _returned: dict[asyncio.Task[None] | None, Asked] = field(default_factory=dict)  # by the lane's task
    _broken: SafeconductError | None = None
    _follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Take up what a crash left open; its answers go into the transcript, though nobody waits for them."""
        self._numbers = {purpose: Numbers(self.journal, purpose) for purpose in AUX_PURPOSES}
        self._line.desk = desk = self._new_desk(self._line)
        self._follower = asyncio.create_task(cosign_in_time(desk))  # before any lane, so that it hears of all
        self._follower.add_done_callback(self._followed)
        known = self.journal.sessions()
        busy = {session.name for session in known if self.journal.pending(session.name) is not None}
        self._sessions = deque(session for session in known if session.name not in busy)
        self._fresh = self.engagement.agreement.scope.max_sessions - len(known)
        for session in known:
            if session.name in busy:
                self._start(session, self._resumed_line() if session.name in self.kept else self._line)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Wait a while for every exchange that was begun, and cosign the log; the journal holds what is open still."""
        self._closed = True
        for line in (self._line, *self._own):
            for asked in line.waiting:
                asked.done.cancel()
            line.waiting.clear()
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

    def own_line(self) -> Line:
        """Keep one lane for questions that must follow each other in one session: one that is kept, or any other.

        Raises:
            ScopeExceeded: the agreement does not allow another session beside it.
        """
        if self._resumed:
            return self._resumed.popleft()
        shared = len(self._running) > len(self._own)
        if self._fresh + len(self._sessions) < (1 if shared else 2):  # this one, and one for everything else
            raise ScopeExceeded("the agreement does not allow another session at once", rule="max_sessions")
        named = next((known for known in self._sessions if known.name in self.kept), None)
        if named is not None:
            self._sessions.remove(named)
        elif self._fresh > 0:
            self._fresh -= 1
        else:
            named = self._sessions.popleft()
        line = self._new_line()
        self._start(named, line)
        return line

    def _resumed_line(self) -> Line:
        """Return a line whose last exchange is open still; its lane runs already when it is asked for."""
        line = self._new_line()
        self._resumed.append(line)
        return line

    def _new_line(self) -> Line:
        line = Line()
        line.desk = self._new_desk(line)
        self._own.append(line)
        return line

    async def ask(self, question: Question, *, purpose: str | None = None, line: Line | None = None) -> Answered:
        """Ask once and return how it ended, answered or not; on a `line` of its own, after what was asked there.

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
        asked = Asked(question, purpose or self.purpose, asyncio.get_running_loop().create_future())
        chosen = line or self._line
        chosen.waiting.append(asked)
        if line is None and len(chosen.waiting) > chosen.idle and self._has_room():
            if self._sessions:
                self._start(self._sessions.popleft(), self._line)
            elif self._fresh > 0:
                self._fresh -= 1
                self._start(None, self._line)
        async with self._wake:
            self._wake.notify_all()
        return await asked.done

    def _has_room(self) -> bool:
        kept = len(self._own)
        return len(self._running) - kept < max(1, self.lanes - max(kept, self.reserved))

    async def answer(self, question: Question) -> Answered:
        """Ask until there is an answer, each time as an exchange of its own, at most `max_attempts` times.

        What would end the same way again is not asked again; how the last exchange ended is returned.

        Raises:
            As `ask`.
        """
        answered = await self.ask(question)
        for _ in range(self.max_attempts - 1):
            if answered.answer is not None or is_final(answered.record):
                break
            answered = await self.ask(question)
        return answered

    def _new_desk(self, line: Line) -> Desk:
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
            next_item=lambda: self._next_item(line),
            return_item=self._return_item,
            on_ended=self._on_ended,
            wait=lambda: self._wait(line),
        )

    def _question(self, item: Item, answers: Sequence[bytes]) -> Question | None:
        if item.purpose is None:
            return self.scheduled(item, answers)
        return self._asked[item.purpose, item.epoch].question

    def _start(self, session: Session | None, line: Line) -> None:
        if line.desk is None:
            raise RuntimeError("a line without its desk")
        task = asyncio.create_task(self._run(Lane(line.desk, session), line))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, lane: Lane, line: Line) -> None:
        while not self._closed or line.waiting:
            try:
                await lane.run()
            except SafeconductError as error:
                returned = self._returned.pop(asyncio.current_task(), None)
                if returned is not None:  # no Intent could be made: nothing was sent, and the lane is as it was
                    fail(returned, error)
                elif not isinstance(error, RefusedError):  # of a refusal the one who asked has heard
                    self._break(error)
                    return
            except Exception as error:  # noqa: BLE001 - a bug of ours: whoever waits hears its kind, which is no content
                self._break(SafeconductError(f"a lane has failed: internal error ({type(error).__name__})"))
                return
            else:
                return

    def _break(self, error: SafeconductError) -> None:
        self._broken = error
        for line in (self._line, *self._own):
            for asked in line.waiting:
                fail(asked, error)
            line.waiting.clear()
        for asked in self._asked.values():
            fail(asked, error)
        self._asked.clear()

    def _next_item(self, line: Line) -> Item | None:
        while line.waiting:
            asked = line.waiting.popleft()
            if asked.done.done():
                continue  # taken back
            number = self._numbers[asked.purpose].take()
            self._asked[asked.purpose, number] = asked
            return auxiliary(asked.purpose, number)
        return None

    def _return_item(self, item: Item) -> None:
        """Hear that no Intent could be made for an item, before the lane says why."""
        if item.purpose is not None:
            self._numbers[item.purpose].give_back(item.epoch)
            self._returned[asyncio.current_task()] = self._asked.pop((item.purpose, item.epoch))

    def _followed(self, follower: asyncio.Task[None]) -> None:
        error = None if follower.cancelled() else follower.exception()
        if isinstance(error, SafeconductError):
            self._break(error)

    async def _wait(self, line: Line) -> bool:
        line.idle += 1
        try:
            async with self._wake:
                await self._wake.wait_for(lambda: bool(line.waiting) or self._closed)
        finally:
            line.idle -= 1
        return bool(line.waiting)

    def _on_ended(self, ending: Ending) -> None:
        purpose = ending.item.purpose
        if purpose is None:
            return
        asked = self._asked.pop((purpose, ending.item.epoch), None)
        error = refusal_of(ending)
        if error is not None:
            self._numbers[purpose].give_back(ending.item.epoch)
        if asked is None:
            return  # it was begun before a crash
        if error is not None:
            fail(asked, error)
        elif not asked.done.done():
            asked.done.set_result(answered_by(asked.question, ending))
