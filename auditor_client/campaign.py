"""Runs a suite: as many lanes as were asked for, one log to follow, and a schedule that survives any crash."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attestations.errors import SafeconductError
from auditor_client.access import check_open, is_open
from auditor_client.answering import OnText
from auditor_client.campaign_state import Ending, Progress
from auditor_client.cosigning import Cosigner
from auditor_client.cosigning_in_time import cosign_in_time
from auditor_client.desk import Ask, Desk, Patience
from auditor_client.engagement import Engagement
from auditor_client.intending import Randomness
from auditor_client.lane import Lane
from auditor_client.ports import Clock, Journal, Lab

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, repr=False)
class Plan:
    """What a campaign asks, and how often it may try."""

    question: Ask
    link_key: bytes
    max_attempts: int


@dataclass(frozen=True, repr=False)
class Campaign:
    """One run of the schedule against one lab; `run` may be called again after any interruption."""

    engagement: Engagement
    plan: Plan
    lab: Lab
    journal: Journal
    cosigner: Cosigner
    clock: Clock
    randomness: Randomness
    tls: str
    patience: Patience

    async def run(
        self, *, lanes: int, on_progress: OnProgress = lambda _: None, on_text: OnText | None = None
    ) -> Progress:
        """Carry every item to its end and return how they ended.

        Args:
            lanes: how many exchanges may run at once; never more sessions than the agreement allows.
            on_progress: hears how far the schedule is whenever an exchange ends.
            on_text: hears answers as they are generated; hidden content, for a person's own screen only.

        Raises:
            ScopeExceeded: the agreed dates of access do not let anything begin.
            SafeconductError: what stopped the campaign; the journal holds everything that happened.
        """
        journal = self.journal
        open_now = [pending for session in journal.sessions() if (pending := journal.pending(session.name))]
        begun = {(pending.item.task, pending.item.arm, pending.item.epoch) for pending in open_now}
        queue = deque(
            item
            for item in journal.items()
            if item.state == "WAITING" and (item.task, item.arm, item.epoch) not in begun
        )
        state, access = _Counter(journal.progress(), on_progress), self.engagement.agreement.access
        if not open_now and queue:
            check_open(access, self.clock.now(), left=len(queue))
        desk = Desk(
            engagement=self.engagement,
            lab=self.lab,
            journal=journal,
            clock=self.clock,
            cosigner=self.cosigner,
            randomness=self.randomness,
            question=self.plan.question,
            link_key=self.plan.link_key,
            max_attempts=self.plan.max_attempts,
            tls=self.tls,
            patience=self.patience,
            may_begin=lambda: is_open(access, self.clock.now()),
            next_item=lambda: queue.popleft() if queue and is_open(access, self.clock.now()) else None,
            return_item=queue.append,
            on_ended=state.ended,
            on_text=on_text,
        )
        if queue or open_now:
            await self._carry(desk, lanes, len(queue), [pending.session for pending in open_now])
            while queue and is_open(access, self.clock.now()):  # an attempt that failed last of all is tried again
                await self._carry(desk, 1, len(queue), [])
        await self.cosigner.cosign()
        if queue:
            check_open(access, self.clock.now(), left=len(queue))
        return journal.progress()

    async def _carry(self, desk: Desk, lanes: int, waiting: int, busy: Sequence[str]) -> None:
        scope = self.engagement.agreement.scope
        most = max(1, min(lanes, scope.max_sessions, waiting + len(busy)))
        known = {session.name: session for session in self.journal.sessions()}
        # Open exchanges first: they must be finished whatever the number of lanes.
        order = [*busy, *(name for name in known if name not in busy)]
        sessions = [known[name] for name in order[: max(most, len(busy))]]
        spare = min(most - len(sessions), scope.max_sessions - len(known))
        running = [Lane(desk, session) for session in sessions] + [Lane(desk, None) for _ in range(max(0, spare))]
        try:
            async with asyncio.TaskGroup() as group:
                follower = group.create_task(cosign_in_time(desk))
                tasks = [group.create_task(lane.run()) for lane in running]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                follower.cancel()
        except BaseExceptionGroup as several:
            raise _first(several) from None


class _Counter:
    """Counts ends as they happen, so that progress costs no query."""

    def __init__(self, progress: Progress, report: OnProgress) -> None:
        self._progress = progress
        self._report = report
        report(progress)

    def ended(self, ending: Ending) -> None:
        if ending.item.purpose is not None:
            return  # it is on no schedule; the lane that had begun it ended it
        total, done, failed = self._progress
        state = ending.item.state
        self._progress = Progress(total, done + (state == "DONE"), failed + (state == "FAILED"))
        self._report(self._progress)


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    for error in several.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
        if isinstance(error, SafeconductError):
            return error
    return several.exceptions[0]
