"""One run in arms: DEV first, then the choice and the start of TEST, then TEST; safe to repeat at any point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from attestations.commitments import SuiteKey
from auditor_client.campaign_state import Progress
from auditor_client.drawing import left_out_of
from auditor_client.eliciting.arms import Arms
from auditor_client.eliciting.starting import scheduled_items, started_arms, waits_for
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.grading_run import grade_all
from auditor_client.history import History
from auditor_client.ports import Journal
from auditor_client.stating import Speaker


@dataclass(frozen=True)
class Ran:
    """How far the schedule is, and what TEST still waits for."""

    progress: Progress
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ArmsRun:
    """Everything a run in arms needs.

    `campaign` carries the schedule as far as it goes; `history` reads the log once it was brought up to date.
    """

    suite: FrozenSuite
    key: SuiteKey
    speaker: Speaker
    journal: Journal
    campaign: Callable[[], Awaitable[Progress]]
    history: Callable[[], Awaitable[History]]
    without: Collection[str] = ()

    async def run(self) -> Ran:
        """Ask all that can be asked now.

        Raises:
            SafeconductError: what stopped it; the journal holds everything that happened.
        """
        arms = Arms(self.suite, self.journal)
        history = await self.history()
        if history.ledger.elicitation.start is None:
            await self.journal.schedule(list(arms.dev_items()))
            progress = await self.campaign()
            history = await self.history()
            course, hooks = history.ledger.elicitation, history.hooks.so_far()
            agreement = self.speaker.engagement.agreement
            waiting = waits_for(
                arms,
                course,
                days=agreement.clauses.elicitation_days,
                refused=hooks.refused,
                without=self.without,
                now=self.speaker.clock.now(),
            )
            if waiting:
                return Ran(progress, waiting)
            graded = await grade_all(self.suite, journal=self.journal)
            await self.speaker.begins(started_arms(arms, course, graded.rows, hooks=hooks))
            history = await self.history()
        left_out = left_out_of(self.suite, self.journal)
        items = scheduled_items(self.suite, arms, history.ledger.elicitation, self.key, left_out)
        await self.journal.schedule(items)
        return Ran(await self.campaign())
