"""A gateway and its worker over real TLS: an audit from first offer to close, and what survives a kill."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from attestations.documents.exchange import Promise, Record
from safeconduct.v1 import access_service_pb2 as access, evidence_service_pb2 as evidence
from tests.integration.gateway import Audit, audited
from tests.support.opened_answer import open_answer
from tests.support.small_auditor import failure, outcome, wire


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    async with audited(tmp_path) as both:
        yield both


async def test_an_audit_runs_from_the_first_exchange_to_the_grades(audit: Audit) -> None:
    lab, auditor = audit
    lane = await auditor.open_session("lane-1")
    stream = auditor.stream()
    for _ in range(3):
        prepared = auditor.prepare(lane)
        ended = await auditor.carry(stream, prepared)
        assert ended.status == "COMPLETED"
        assert open_answer(auditor, prepared, ended) == "an answer of a few words"
        auditor.move(lane, ended)
    await stream.done_writing()
    cosigned = await auditor.cosign()
    assert cosigned.size == 1 + 2 + 3 * 2  # registration, runtime and session, exchanges

    both = await auditor.close_statement()
    await auditor.confirm_close(both)
    await auditor.cosign()
    await auditor.commit_grades()

    status = await auditor.evidence.GetStatus(evidence.GetStatusRequest(agreement=auditor.digest))
    assert (status.phase, status.promised_count, status.pending_count) == ("GRADED", 3, 0)
    assert await lab.stop() == 0
    code, out, _ = await lab.command("fsck")
    assert code == 0
    assert "3 promises, 3 answers kept" in out


async def test_a_retried_intent_gets_the_same_bytes_and_asks_the_model_once(audit: Audit) -> None:
    """T048."""
    _, auditor = audit
    lane = await auditor.open_session("lane-1")
    prepared = auditor.prepare(lane)
    first = await auditor.carry(auditor.stream(), prepared)
    size = (await auditor.follow()).size
    again = await auditor.finish(stream := auditor.stream(), await auditor.promised(stream, prepared))

    assert (again.promise, again.record) == (first.promise, first.record)
    assert [frame.ciphertext for frame in again.frames] == [frame.ciphertext for frame in first.frames]
    assert (await auditor.follow()).size == size


async def test_a_promise_open_at_a_kill_ends_as_aborted_and_the_lane_goes_on(audit: Audit) -> None:
    lab, auditor = audit
    lane = await auditor.open_session("lane-1")
    await auditor.ask(lane)
    prepared = auditor.prepare(lane)
    promise = (await auditor.promised(auditor.stream(), prepared)).promise
    await auditor.cosign()

    await lab.kill()
    await lab.start()
    await auditor.connect(lab.address)

    request = access.ResumeRequest(agreement=auditor.digest, session=lane.name, checkpoint=auditor.checkpoint)
    assert (await auditor.access.Resume(request)).next_seq == 2
    ended = await auditor.finish(stream := auditor.stream(), await auditor.promised(stream, prepared))
    assert ended.promise == promise
    assert ended.status == "ABORTED_CRASH GATEWAY_RESTARTED"
    auditor.move(lane, ended)
    await auditor.refresh_runtime()
    _, after = await auditor.ask(lane)
    assert after.status == "COMPLETED"
    await auditor.cosign()
    assert await lab.stop() == 0
    assert (await lab.command("fsck"))[0] == 0


async def test_a_killed_worker_ends_its_exchange_and_comes_back_with_new_keys(tmp_path: Path) -> None:
    script = {"otherwise": "slow words come one after another", "seconds_per_token": 1.0}
    async with audited(tmp_path, script=script) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        boot = auditor.statement().boot
        prepared = auditor.prepare(lane)
        stream = auditor.stream()
        ended = await auditor.promised(stream, prepared)
        reveal = access.Reveal(sealed=prepared.sealed, seed_share=prepared.seed_share)
        await stream.write(access.ExchangeRequest(reveal=reveal))
        await asyncio.sleep(0.5)
        os.kill(lab.worker_pid(), signal.SIGKILL)
        await auditor.finish(stream, ended)
        assert ended.status == "ABORTED_CRASH WORKER_DIED"
        assert ended.record is not None
        assert Record.parse(ended.record.payload).worker == boot
        auditor.move(lane, ended)

        _, stale = await auditor.ask(lane)
        assert stale.status == "ERROR WORKER_KEY_STALE"
        while (error := await outcome(auditor.refresh_runtime())) is not None:
            assert error.reason == "WORKER_UNAVAILABLE"
            await asyncio.sleep(0.05)
        assert auditor.statement().boot != boot


async def test_another_intent_for_a_used_place_is_refused_and_kept_as_evidence(audit: Audit) -> None:
    _, auditor = audit
    lane = await auditor.open_session("lane-1")
    first = auditor.prepare(lane)
    promised = await auditor.promised(auditor.stream(), first)
    assert promised.promise is not None
    assert Promise.parse(promised.promise.payload).seq == 0
    stream = auditor.stream()
    await stream.write(access.ExchangeRequest(intent=wire(auditor.prepare(lane).envelope)))
    assert (await failure(stream)).reason == "SEQUENCE_EQUIVOCATION"
