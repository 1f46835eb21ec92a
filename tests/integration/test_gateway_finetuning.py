"""The fine-tune hook over a real gateway and worker: jobs, their variants, their limits, kills, and their end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from attestations.documents.base import encode
from attestations.documents.dialogue import ChatRequest, Message
from attestations.documents.exchange import Record, TokenBudget
from attestations.documents.finetuning import (
    CancelTraining,
    Demonstration,
    FineTuneRequest,
    Recipe,
    StartTraining,
    TrainingStatement,
    VariantDestroyed,
    WaitTraining,
    derived_variant,
    variant_name,
)
from attestations.log_entries import parse_entry
from tests.integration.gateway import audited
from tests.support.memory_search import argument_lists, files_under, found_in, memory_of
from tests.support.opened_answer import open_answer
from tests.support.small_auditor import Ended, Lane, SmallAuditor

TOLD = Demonstration(messages=(Message(role="user", content="canary-question"),), completion="canary-learned")
GRANT = """operations = ["chat", "fine_tune"]
[hooks.fine_tune]
state = "on"
trainer = "rehearsed"
max_jobs = 3
max_train_tokens = "2000"
"""
ROOM = TokenBudget(input_tokens=1000, output_tokens=0)
NO_ROOM = TokenBudget(input_tokens=0, output_tokens=0)


def start(epochs: int = 10) -> FineTuneRequest:
    recipe = Recipe(epochs=epochs)
    return FineTuneRequest(action=StartTraining(recipe=recipe, demonstrations=(TOLD,), salt=encode(os.urandom(32))))


async def begin(auditor: SmallAuditor, lane: Lane, epochs: int = 10) -> TrainingStatement:
    stated = statement((await auditor.ask(lane, asked=start(epochs), budget_max=ROOM))[1])
    assert stated.state == "RUNNING"
    return stated


async def told(auditor: SmallAuditor, lane: Lane, job: str, *, seconds: int = 20) -> TrainingStatement:
    wait = FineTuneRequest(action=WaitTraining(job=job, seconds=seconds))
    return statement((await auditor.ask(lane, asked=wait, budget_max=NO_ROOM))[1])


def statement(ended: Ended) -> TrainingStatement:
    record = recorded(ended)
    assert isinstance(record.hook, TrainingStatement), record.code
    return record.hook


def recorded(ended: Ended) -> Record:
    assert ended.record is not None, ended.status
    return Record.parse(ended.record.payload)


async def asks(auditor: SmallAuditor, lane: Lane, stated: TrainingStatement) -> Ended:
    name = variant_name(stated.base, stated.job)
    request = ChatRequest(messages=TOLD.messages)
    return (await auditor.ask(lane, asked=request, variant=name))[1]


async def destructions(auditor: SmallAuditor) -> list[VariantDestroyed]:
    await auditor.follow()
    entries = [parse_entry(leaf) for leaf in auditor.leaves]
    found = [entry for entry in entries if entry.kind == "variant_destroyed"]
    return [VariantDestroyed.parse(entry.documents[0].payload) for entry in found]


async def answer(auditor: SmallAuditor, lane: Lane, stated: TrainingStatement) -> str:
    name = variant_name(stated.base, stated.job)
    prepared, ended = await auditor.ask(lane, asked=ChatRequest(messages=TOLD.messages), variant=name)
    assert ended.status == "COMPLETED", recorded(ended).code
    return open_answer(auditor, prepared, ended)


async def test_a_job_makes_a_variant_of_this_engagement_with_its_lineage_in_every_record(tmp_path: Path) -> None:
    async with audited(tmp_path, grant=GRANT) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        begun = await begin(auditor, lane, epochs=3)
        ended = await told(auditor, lane, begun.job)
        assert (begun.state, ended.state, ended.trainer) == ("RUNNING", "SUCCEEDED", "rehearsed/1")
        assert await answer(auditor, lane, ended) == "canary-learned"

        await auditor.follow()
        record = Record.parse(parse_entry(auditor.leaves[-1]).documents[-1].payload)
        made = derived_variant(auditor.agreed.variants[0], ended)
        assert (record.variant, record.manifest) == (made.digest(), made.manifest)
        assert record.manifest != auditor.agreed.variants[0].manifest
        kept = lab.path / "fine-tuning"
        assert kept.stat().st_mode & 0o077 == 0
        assert [path.name for path in kept.rglob("adapter.*")] == ["adapter.json"]

        await auditor.cosign()
        await auditor.confirm_close(await auditor.close_statement())
        async with asyncio.timeout(10):
            while not (gone := await destructions(auditor)):  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.1)
        assert [(document.variant, document.manifest) for document in gone] == [(made.id, made.manifest)]
        assert list(kept.rglob("adapter.*")) == []
        await auditor.cosign()


async def test_what_was_not_made_here_or_is_too_much_is_refused_with_its_rule(tmp_path: Path) -> None:
    """T075, T076 for fine-tuning: an unknown variant, one of a job that failed, and more than was agreed."""
    async with audited(tmp_path, grant=GRANT) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        begun = await begin(auditor, lane, epochs=100)
        assert (await asks(auditor, lane, begun)).status == "REFUSED SCOPE_EXCEEDED"
        cancel = FineTuneRequest(action=CancelTraining(job=begun.job))
        stopped = statement((await auditor.ask(lane, asked=cancel, budget_max=NO_ROOM))[1])
        assert (stopped.state, stopped.adapter) == ("CANCELLED", None)
        assert (await asks(auditor, lane, begun)).status == "REFUSED SCOPE_EXCEEDED"
        assert await told(auditor, lane, begun.job) == stopped

        unknown = FineTuneRequest(action=WaitTraining(job="ft-0"))
        assert (await auditor.ask(lane, asked=unknown, budget_max=NO_ROOM))[1].status == "REFUSED_POLICY JOB_UNKNOWN"
        hidden = (await auditor.ask(lane, asked=start(), budget_max=NO_ROOM))[1]
        assert hidden.status == "ERROR TOO_MANY_TOKENS"  # a start that names no tokens gets none
        large = TokenBudget(input_tokens=1901, output_tokens=0)
        assert (await auditor.ask(lane, asked=start(), budget_max=large))[1].status == "REFUSED BUDGET_EXHAUSTED"
        for _ in range(2):
            await told(auditor, lane, (await begin(auditor, lane, epochs=1)).job)
        assert (await auditor.ask(lane, asked=start(), budget_max=ROOM))[1].status == "REFUSED BUDGET_EXHAUSTED"
        await auditor.cosign()


async def test_a_killed_worker_ends_its_jobs_on_record_and_keeps_what_was_made(tmp_path: Path) -> None:
    """Kill -9 of worker and of gateway: finished variants go on, a job under way is ABORTED_CRASH, nothing is left."""
    async with audited(tmp_path, grant=GRANT) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        made = await told(auditor, lane, (await begin(auditor, lane, epochs=1)).job)
        running = await begin(auditor, lane, epochs=100)
        os.kill(lab.worker_pid(), signal.SIGKILL)
        async with asyncio.timeout(30):
            while True:
                try:
                    await auditor.refresh_runtime()
                    break
                except Exception:  # noqa: BLE001 - until the worker is back
                    await asyncio.sleep(0.1)
        ended = await told(auditor, lane, running.job)
        assert (ended.state, ended.code, ended.adapter) == ("ABORTED_CRASH", "WORKER_RESTARTED", None)
        assert await answer(auditor, lane, made) == "canary-learned"
        assert len(list((lab.path / "fine-tuning").rglob("checkpoint"))) == 0

        await auditor.disconnect()
        await lab.kill()
        await lab.start()
        await auditor.connect(lab.address)
        await auditor.refresh_runtime()
        assert await answer(auditor, lane, made) == "canary-learned"
        assert await told(auditor, lane, running.job) == ended
        spent = await auditor.ask(lane, asked=start(), budget_max=TokenBudget(input_tokens=1901, output_tokens=0))
        assert spent[1].status == "REFUSED BUDGET_EXHAUSTED"  # what was planned stays charged
        await auditor.cosign()


async def test_demonstrations_are_nowhere_at_the_gateway(tmp_path: Path) -> None:
    async with audited(tmp_path, grant=GRANT) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        begun = await begin(auditor, lane, epochs=100)
        needles = ["canary-learned", "canary-question"]
        for blocks in (files_under(lab.path), memory_of(lab.pid), argument_lists()):
            assert found_in(blocks, needles) == set()
        await auditor.ask(lane, asked=FineTuneRequest(action=CancelTraining(job=begun.job)), budget_max=NO_ROOM)
        await auditor.cosign()
