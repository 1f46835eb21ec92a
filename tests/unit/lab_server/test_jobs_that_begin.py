"""A job that is asked about, cancelled or started beside others while it begins: nobody is blamed, nothing hangs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from attestations.documents.base import encode, format_time
from attestations.documents.exchange import Intent, Promise, Record, TokenBudget
from attestations.documents.finetuning import (
    CancelTraining,
    Demonstration,
    FineTuneRequest,
    Recipe,
    StartTraining,
    TrainingStatement,
    WaitTraining,
    job_name,
)
from attestations.envelope import Envelope
from tests.support.hooked_auditor import Asking
from tests.support.hooked_lab import TOKENS_A_STEP, HookedLab
from tests.support.small_auditor import Lane, Prepared

STEPS = 2


class Sessions(Asking):
    """Carries what several sessions ask at the gateway itself."""

    def __init__(self, lab: HookedLab) -> None:
        super().__init__(lab)
        self.lab_here = lab
        self.lanes: list[Lane] = []
        self.asked: dict[str, Prepared] = {}

    async def asks(self, lane: Lane, action: StartTraining | WaitTraining | CancelTraining, tokens: int = 0) -> str:
        """Intend and reveal; return the name of the job that this would start."""
        lab = self.lab_here
        made = self.prepare(
            lane,
            asked=FineTuneRequest(action=action),
            budget_max=TokenBudget(input_tokens=tokens, output_tokens=0),
            not_after=format_time(lab.clock.at + timedelta(minutes=5)),
        )
        intent = Intent.parse(made.envelope.payload)
        (promise,) = await lab.exchanging.intend(lab.engagement, made.envelope, intent)
        assert isinstance(promise, Envelope)
        assert promise.payload_type == Promise.payload_type
        session = lab.engagement.session(lane.name)
        await lab.exchanging.reveal(lab.engagement, session, intent, made.sealed, made.seed_share)
        self.asked[lane.name] = made
        await settled()
        return job_name(intent.plaintext_commit)

    async def told(self, lane: Lane) -> Record:
        """Return the Record of what a session has asked."""
        await settled()
        envelope = self.asked[lane.name].envelope
        answer = await self.lab_here.exchanging.intend(
            self.lab_here.engagement, envelope, Intent.parse(envelope.payload)
        )
        last = answer[-1]
        assert isinstance(last, Envelope)
        assert last.payload_type == Record.payload_type, "it is under way still"
        lane.prev, lane.seq = last.digest, lane.seq + 1
        return Record.parse(last.payload)


async def settled() -> None:
    for _ in range(40):
        await asyncio.sleep(0)


def start(number: int = 0) -> StartTraining:
    shown = (Demonstration(prompt="p", completion="c"),)
    return StartTraining(recipe=Recipe(epochs=STEPS), demonstrations=shown, salt=encode(bytes([number] * 32)))


@pytest.fixture
async def auditor(tmp_path: Path) -> Sessions:
    lab = HookedLab(tmp_path / "fine-tuning")
    await lab.start()
    made = Sessions(lab)
    for number in range(3):
        grant = await lab.session(f"s-{number}")
        made.lanes.append(Lane(f"s-{number}", grant.digest))
    made.runtime = await lab.runtime()
    return made


def goes_on(auditor: Sessions, job: str, *said: str) -> None:
    for word in said or ("go",):
        auditor.lab_here.trainer.permits[job].put_nowait(word)


@pytest.mark.parametrize("what", [WaitTraining, CancelTraining])
async def test_a_job_is_unknown_while_it_is_planned(
    auditor: Sessions, what: type[WaitTraining | CancelTraining]
) -> None:
    first, second, _ = auditor.lanes
    job = await auditor.asks(first, start(), STEPS * TOKENS_A_STEP)
    await auditor.asks(second, what(job=job))
    asked = await auditor.told(second)
    assert (asked.status, asked.code, asked.hook) == ("REFUSED_POLICY", "JOB_UNKNOWN", None)
    goes_on(auditor, job)
    begun = await auditor.told(first)
    assert isinstance(begun.hook, TrainingStatement)
    assert (begun.status, begun.hook.state) == ("COMPLETED", "RUNNING")


async def test_a_job_is_unknown_until_the_record_of_its_start_is_made(auditor: Sessions) -> None:
    first, second, _ = auditor.lanes
    auditor.lab_here.slow[first.name] = 30_000  # the answer to the start is on its way for long
    job = await auditor.asks(first, start(), STEPS * TOKENS_A_STEP)
    goes_on(auditor, job)
    await settled()
    await auditor.asks(second, WaitTraining(job=job))
    asked = await auditor.told(second)
    assert (asked.status, asked.code, asked.hook) == ("REFUSED_POLICY", "JOB_UNKNOWN", None)


async def test_a_job_whose_start_was_not_kept_is_unknown_and_can_be_ended(auditor: Sessions) -> None:
    """The disk was full as the Record of the start was made: what runs at the worker is no job of the log's."""
    first, second, _ = auditor.lanes
    job = await auditor.asks(first, start(), STEPS * TOKENS_A_STEP)
    lab = auditor.lab_here
    lab.store.full = True
    goes_on(auditor, job)
    await settled()
    lab.store.full = False
    await lab.start_gateway()
    auditor.runtime = await lab.runtime()
    assert (await auditor.told(first)).status == "ABORTED_CRASH"
    await auditor.asks(second, WaitTraining(job=job))
    assert (await auditor.told(second)).code == "JOB_UNKNOWN"
    await auditor.asks(second, CancelTraining(job=job))
    assert (await auditor.told(second)).code == "JOB_UNKNOWN"
    assert (lab.engagement.training.jobs, lab.engagement.book.input_tokens) == ({}, 0)
    assert not lab.tuning._running


async def test_no_more_jobs_run_at_once_than_the_lab_has_set(auditor: Sessions) -> None:
    auditor.lab_here.trainer.identifying = 3
    asks = [auditor.asks(lane, start(number), STEPS * TOKENS_A_STEP) for number, lane in enumerate(auditor.lanes)]
    await asyncio.gather(*asks)
    assert len(auditor.lab_here.trainer.begun) == 2
