"""A campaign against the simulated lab."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from auditor_client.campaign import Campaign, Plan
from auditor_client.campaign_state import Item, Progress
from auditor_client.cosigning import Cosigner
from auditor_client.desk import Ask, Patience
from auditor_client.drawing import draw_items
from auditor_client.engagement import Engagement
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.intending import Question
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.mirror import Mirror
from auditor_client.ports import Lab
from auditor_client.registering import Design, register
from auditor_client.releasing import Releaser
from tests.support.audit_world import TestClock, World, design, suite, suite_key
from tests.support.simulated_lab import SimulatedLab


@dataclass
class Audit:
    """One auditor's folder and the lab it talks to; `run` may be called again, as after a crash."""

    folder: Path
    world: World
    clock: TestClock
    lab: SimulatedLab
    suite: FrozenSuite
    journal: SqliteJournal
    mirror: Mirror
    cosigner: Cosigner
    plan: Design = field(default_factory=design)
    closed: bool = False
    client: Lab | None = None
    steps: int = 1  # how many exchanges an item takes
    ask: Ask | None = None  # what items ask, if it is not the suite's own questions

    @classmethod
    async def at(
        cls,
        folder: Path,
        world: World,
        clock: TestClock,
        lab: SimulatedLab,
        tasks: FrozenSuite,
        plan: Design | None = None,
    ) -> Audit:
        plan = plan or design()
        journal = await SqliteJournal(folder / "journal.sqlite").__aenter__()
        engagement = world.engagement()
        mirror = Mirror(folder / "log.jsonl")
        cosigner = Cosigner(engagement, lab=lab, journal=journal, mirror=mirror, clock=clock)
        await register(tasks, plan, key=suite_key(), engagement=engagement, lab=lab, journal=journal, clock=clock)
        return cls(folder, world, clock, lab, tasks, journal, mirror, cosigner, plan)

    async def draw(self) -> None:
        await draw_items(
            self.suite,
            self.plan,
            key=suite_key(),
            engagement=self.world.engagement(),
            lab=self.lab,
            journal=self.journal,
            mirror=self.mirror,
            cosigner=self.cosigner,
            clock=self.clock,
        )

    async def run(self, *, lanes: int = 2, on_text: list[str] | None = None) -> Progress:
        def question(item: Item, answers: Sequence[bytes]) -> Question | None:
            asked = self.suite.tasks[max(item.task, 0)].question
            assert asked is not None
            done = len(answers) >= self.steps
            return None if done else Question(asked.request, "deployed", asked.sampling)

        campaign = Campaign(
            engagement=self.world.engagement(),
            plan=Plan(self.ask or question, suite_key().class_key("C5").link_key(), max_attempts=3),
            lab=self.client or self.lab,
            journal=self.journal,
            cosigner=self.cosigner,
            clock=self.clock,
            randomness=os.urandom,
            tls="44" * 32,
            patience=Patience(answer=2, first_retry=0.001, longest_retry=0.002, give_up=0.05),
        )
        return await campaign.run(lanes=lanes, on_text=None if on_text is None else on_text.append)

    def releaser(self, engagement: Engagement | None = None) -> Releaser:
        """Return what releases, under the agreement as it was made unless another is given."""
        return Releaser(
            engagement=engagement or self.world.engagement(),
            lab=self.lab,
            journal=self.journal,
            mirror=self.mirror,
            cosigner=self.cosigner,
            clock=self.clock,
        )

    async def crashed(self) -> Audit:
        """Open everything again from the disk alone."""
        await self.close()
        return await Audit.at(self.folder, self.world, self.clock, self.lab, self.suite, self.plan)

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        await self.journal.__aexit__()
        self.mirror.close()


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    """An audit of seven items, registered and ready to run."""
    world, clock = World(), TestClock()
    opened = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    yield opened
    await opened.close()
