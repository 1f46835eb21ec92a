"""The gateway's side of the worker's socket: a worker that goes away is never mistaken for a caller that gave up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from attestations.errors import WorkerUnavailable
from lab_server.backends.script_file import Script
from lab_server.backends.scripted import ScriptedBackend
from lab_server.services.worker import serving_worker
from lab_server.services.worker_client import WorkerClient
from lab_server.worker.enrolment import DeclaredRuntime, Enrolment
from tests.unit.lab_server.test_sealed_runs import AGREEMENT, job, outcome, runs_with


@pytest.fixture
async def connected(tmp_path: Path) -> AsyncIterator[tuple[WorkerClient, Any]]:
    runs = runs_with(ScriptedBackend(script=Script(otherwise="late", stall_seconds=2)))
    enrolment = Enrolment(boot="boot", backend="scripted/1", variants=(), runs=runs, attester=DeclaredRuntime())
    socket = str(tmp_path / "worker.sock")
    async with serving_worker(socket, runs=runs, enrolment=enrolment):
        client = WorkerClient(socket)
        await client.ready(10)
        yield client, runs
        await client.close()


async def test_the_socket_is_for_its_user_alone(connected: tuple[WorkerClient, Any], tmp_path: Path) -> None:
    assert (tmp_path / "worker.sock").stat().st_mode & 0o777 == 0o600


async def test_an_answer_crosses_the_socket_unchanged(connected: tuple[WorkerClient, Any]) -> None:
    client, runs = connected
    keys = await client.enrol(AGREEMENT)
    assert (keys.boot, keys.hpke_public) == ("boot", runs.enrol(AGREEMENT).hpke.public)
    frames, ended = await outcome(client, job(runs))  # type: ignore[arg-type]
    assert ended.status == "COMPLETED"
    assert [frame.final for frame in frames][-1:] == [True]
    assert ended.fingerprint == "ee" * 32


async def test_closing_the_connection_under_a_call_is_a_worker_that_went_away(
    connected: tuple[WorkerClient, Any],
) -> None:
    client, runs = connected
    running = asyncio.create_task(outcome(client, job(runs)))  # type: ignore[arg-type]
    await asyncio.sleep(0.3)
    await client.close()
    with pytest.raises(WorkerUnavailable):
        await running


async def test_a_caller_that_gives_up_is_cancelled(connected: tuple[WorkerClient, Any]) -> None:
    client, runs = connected
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await outcome(client, job(runs))  # type: ignore[arg-type]
