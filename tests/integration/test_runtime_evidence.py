"""The port for TEE evidence, with a chip in software: it goes the whole way and is checked, or is refused precisely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attestations.documents.agreement import Agreement, Runtime
from attestations.documents.base import decode, encode
from attestations.documents.engagement import PreRegistration, RegisteredSuite, RuntimeStatement
from attestations.envelope import Envelope, sign_document
from attestations.errors import AttestationNonceMismatch, MeasurementUnknown, RuntimeDowngrade
from attestations.states import PhaseEvent
from auditor_client.engagement import Engagement
from auditor_client.runtime_evidence import check_runtime
from lab_server.engagements import Engagements
from lab_server.opening import Opening
from lab_server.services.worker_client import WorkerClient
from lab_server.settings import load_settings
from lab_server.steps import Steps
from lab_server.storage.memory import MemoryStore
from lab_server.worker.app import worker
from lab_server.worker.enrolment import RuntimeAttester, report_binding
from tests.support.audit_world import TestClock, World
from tests.support.lab_process import new_lab
from tests.support.software_attester import FORMAT, SoftwareAttester, report_holds


class Stated:
    """What a real worker behind its socket, and the lab in front of it, state about what runs."""

    def __init__(self, world: World, level: Any) -> None:
        self.world = world
        agreed = world.agreement().model_copy(update={"runtime": Runtime(level=level)})
        envelope = sign_document(agreed, world.lab.agreement)
        ours = sign_document(agreed, world.auditor.agreement)
        both = Envelope(envelope.payload_type, envelope.payload, (*envelope.signatures, *ours.signatures))
        self.engagement = Engagement(Agreement.parse(both.payload), both, world.auditor)

    async def by(self, folder: Path, attester: RuntimeAttester | None) -> Envelope:
        lab = new_lab(folder / "lab", auditors=[])
        keys: Any = self.world.lab
        held = Engagements(keys=keys, store=MemoryStore(), clock=TestClock()).add(self.engagement.envelope)
        registration = PreRegistration(
            agreement=held.digest,
            suite=RegisteredSuite(id="suite", root="aa" * 32, tasks=1),
            class_keys=(),
            plan="bb" * 32,
            graders=(),
            arms=("as_shipped",),
            epochs=1,
            max_attempts=1,
            registered_at="2026-11-24T09:00:00Z",
        )
        await held.log.append_receipted("registration", sign_document(registration, self.world.auditor.publication))
        held.move(PhaseEvent.REGISTER)
        socket = str(folder / "w.sock")
        async with worker(lab.home, load_settings(lab.home.settings), socket, attester=attester):
            client: Any = WorkerClient(socket)
            try:
                await client.ready(10)
                return await Opening(keys=keys, worker=client, steps=Steps()).runtime(held)
            finally:
                await client.close()


async def test_evidence_of_a_chip_reaches_the_auditor_and_binds_the_keys_in_use(tmp_path: Path) -> None:
    chip, stated = SoftwareAttester(), Stated(World(), "RA0")
    checked = check_runtime(await stated.by(tmp_path, chip), stated.engagement)
    statement = checked.statement
    assert (statement.level, statement.report_format) == ("RA0", FORMAT)
    assert statement.report is not None
    report, agreement = decode(statement.report), stated.engagement.digest
    worker_public = decode(statement.worker_public)
    assert report_holds(
        chip.root, report_binding(checked.hpke_public, worker_public, statement.boot, agreement), report
    )
    for other in (
        report_binding(worker_public, worker_public, statement.boot, agreement),
        report_binding(checked.hpke_public, checked.hpke_public, statement.boot, agreement),
        report_binding(checked.hpke_public, worker_public, "another-boot", agreement),
        report_binding(checked.hpke_public, worker_public, statement.boot, "00" * 32),
    ):
        assert not report_holds(chip.root, other, report)
    assert not report_holds(SoftwareAttester().root, report_binding(b"", b"", "", ""), report)


async def test_a_level_nobody_here_can_check_is_refused_with_its_format(tmp_path: Path) -> None:
    stated = Stated(World(), "RA3")
    with pytest.raises(MeasurementUnknown) as refused:
        check_runtime(await stated.by(tmp_path, SoftwareAttester()), stated.engagement)
    assert refused.value.facts == {"format": FORMAT}


async def test_no_evidence_where_some_was_agreed_is_a_downgrade(tmp_path: Path) -> None:
    stated = Stated(World(), "RA3")
    with pytest.raises(RuntimeDowngrade) as refused:
        check_runtime(await stated.by(tmp_path, None), stated.engagement)
    assert refused.value.facts == {"level": "RA0", "agreed": "RA3"}


async def test_evidence_for_another_challenge_is_refused(tmp_path: Path) -> None:
    stated = Stated(World(), "RA0")
    statement = RuntimeStatement.parse((await stated.by(tmp_path, SoftwareAttester())).payload)
    other = statement.model_copy(update={"nonce": "00" * 32, "report": encode(b"of another boot")})
    with pytest.raises(AttestationNonceMismatch):
        check_runtime(sign_document(other, stated.world.lab.record), stated.engagement)
