"""Health and reflection: what operators' tools expect, behind the same certificates as everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import LabProcess, new_lab
from tests.support.small_auditor import SmallAuditor

OURS = {f"safeconduct.v1.{name}Service" for name in ("Negotiation", "Access", "Transcript", "Disclosure", "Evidence")}
STANDARD = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


class Asked:
    """A lab that serves, and a channel with a certificate it admits."""

    def __init__(self, lab: LabProcess, channel: Any) -> None:
        self.lab = lab
        self.health: Any = health_pb2_grpc.HealthStub(channel)
        self.reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def reflect(self, **wanted: Any) -> reflection_pb2.ServerReflectionResponse:
        call = self.reflection.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(**wanted))
        answer: reflection_pb2.ServerReflectionResponse = await call.read()
        await call.done_writing()
        return answer


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    keys = new_keys()
    lab = new_lab(tmp_path / "lab", auditors=[write_identity(keys, tmp_path)])
    await lab.start()
    auditor = SmallAuditor(keys, lab.home.identity)
    await auditor.connect(lab.address)
    assert auditor.channel is not None
    yield Asked(lab, auditor.channel)
    await auditor.disconnect()
    await lab.stop()


async def test_health_says_whether_the_lab_serves_until_it_stops(asked: Asked) -> None:
    answer = await asked.health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for name in OURS:
        answer = await asked.health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asked.health.Check(health_pb2.HealthCheckRequest(service="safeconduct.v1.Nothing"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND

    watched = asked.health.Watch(health_pb2.HealthCheckRequest())
    assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(asked.lab.stop())
    assert (await watched.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watched.cancel()
    assert await stopping == 0


async def test_reflection_lists_exactly_our_services_and_no_stranger_gets_an_answer(asked: Asked) -> None:
    answer = await asked.reflect(list_services="")
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == OURS | STANDARD
    for name in OURS:
        described = await asked.reflect(file_containing_symbol=name)
        assert described.file_descriptor_response.file_descriptor_proto

    stranger = SmallAuditor(new_keys("stranger.example"), asked.lab.home.identity)
    await stranger.connect(asked.lab.address)
    assert stranger.channel is not None
    health: Any = health_pb2_grpc.HealthStub(stranger.channel)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    await stranger.disconnect()
