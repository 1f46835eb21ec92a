"""The log signs only what follows: durable, in order, in its phase, and never a second history."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from attestations.checkpoint import cosign, open_checkpoint
from attestations.documents.engagement import PreRegistration, RegisteredSuite
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    CheckpointInvalid,
    ConsistencyProofInvalid,
    InclusionProofInvalid,
    LogRollback,
    PhaseViolation,
    StoreFailed,
)
from attestations.keys import KeyUse
from attestations.merkle import leaf_hash, verify_inclusion
from lab_server.engagements import Engagements
from lab_server.ports import StoredAgreement
from lab_server.storage.memory import MemoryStore
from tests.support.audit_world import World

AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class SteppingClock:
    """Goes where a test sets it."""

    def __init__(self) -> None:
        self.at = AT

    def now(self) -> datetime:
        return self.at


class Lab:
    """One engagement in memory."""

    def __init__(self) -> None:
        self.world, self.store, self.clock = World(), MemoryStore(), SteppingClock()
        self.engagements = Engagements(keys=self.world.lab, store=self.store, clock=self.clock)  # type: ignore[arg-type]
        self.engagement = self.engagements.add(self.world.engagement().envelope)

    @property
    def log(self):  # type: ignore[no-untyped-def] # noqa: ANN201
        return self.engagement.log

    async def kept(self) -> None:
        envelope = self.engagement.envelope
        agreement = StoredAgreement(envelope.digest, envelope.to_bytes())
        assert await self.store.add_entries("a b", 0, [b"{}"], agreement)

    def document(self, number: int = 0) -> Envelope:
        registration = PreRegistration(
            agreement=self.engagement.digest,
            suite=RegisteredSuite(id=f"suite-{number}", root="aa" * 32, tasks=1),
            class_keys=(),
            plan="bb" * 32,
            graders=(),
            arms=("as_shipped",),
            epochs=1,
            max_attempts=1,
            registered_at="2026-11-24T09:00:00Z",
        )
        return sign_document(registration, self.world.auditor.publication)


async def test_the_first_leaf_is_the_registration() -> None:
    lab = Lab()
    with pytest.raises(PhaseViolation):
        await lab.log.append_receipted("event", lab.document())
    assert lab.log.size == 0
    await lab.log.append_receipted("registration", lab.document())
    assert lab.log.size == 1


async def test_times_never_run_backwards_though_the_clock_may() -> None:
    lab = Lab()
    await lab.log.append_receipted("registration", lab.document())
    lab.clock.at = AT - timedelta(hours=1)
    assert lab.log.time() == AT


async def test_a_checkpoint_covers_only_what_is_durable() -> None:
    lab = Lab()
    await lab.log.append_receipted("registration", lab.document())
    lab.log.only = None
    lab.store.full = True
    with pytest.raises(StoreFailed):
        await lab.log.append_receipted("event", lab.document(1))
    note = lab.log.checkpoint()
    key = lab.engagement.agreement.lab_key(KeyUse.LOG)
    assert open_checkpoint(note, origin=lab.engagement.agreement.origin, log_key=key).size == 1
    with pytest.raises(StoreFailed):
        await lab.log.append_receipted("event", lab.document(1))


async def test_an_engagement_goes_on_from_what_is_durable_once_the_store_has_room() -> None:
    lab = Lab()
    await lab.kept()
    await lab.log.append_receipted("registration", lab.document())
    lab.log.only, lab.store.full = None, True
    results = await asyncio.gather(
        *(lab.log.append_receipted("event", lab.document(number)) for number in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [StoreFailed] * 3
    lab.store.full = False
    again = await lab.engagements.reload(lab.engagement)
    assert (again.log.size, again.log.broken) == (1, None)
    await again.log.append_receipted("event", lab.document(5))
    assert again.log.size == 2


async def test_a_store_behind_its_cosigned_checkpoint_is_refused_at_the_start() -> None:
    lab = Lab()
    await lab.kept()
    await lab.log.append_receipted("registration", lab.document())
    lab.log.only = None
    await lab.log.append_receipted("event", lab.document(1))
    auditor = lab.world.auditor.cosign
    note = cosign(lab.log.checkpoint(), name="auditor.example/cosign", signer=auditor, at=AT)
    await lab.log.cosign(note.to_text(), name="auditor.example/cosign", key=auditor.key)
    lab.store._leaves[lab.engagement.digest].pop()

    restarted = Engagements(keys=lab.world.lab, store=lab.store, clock=lab.clock)  # type: ignore[arg-type]
    await restarted.restore()
    log = restarted.all[0].log
    assert isinstance(log.broken, LogRollback)
    for step in (log.checkpoint, log.check_whole):
        with pytest.raises(LogRollback):
            step()
    with pytest.raises(LogRollback):
        await log.append_receipted("event", lab.document(2))


async def test_only_our_own_checkpoints_with_the_auditors_cosignature_are_kept() -> None:
    lab = Lab()
    await lab.log.append_receipted("registration", lab.document())
    key = lab.world.auditor.cosign.key
    with pytest.raises(CheckpointInvalid):
        await lab.log.cosign(lab.log.checkpoint().to_text(), name="auditor.example/cosign", key=key)
    assert await lab.store.cosigned(lab.engagement.digest) is None


async def test_proofs_hold_and_are_given_only_for_what_the_log_has() -> None:
    lab = Lab()
    await lab.log.append_receipted("registration", lab.document())
    lab.log.only = None
    for number in range(1, 6):
        await lab.log.append_receipted("event", lab.document(number))
    leaves = await lab.log.leaves(0)
    proof = lab.log.inclusion(3, 6)
    root = bytes.fromhex(lab.log.root())
    verify_inclusion(leaf=leaf_hash(leaves[3].data), index=3, size=6, proof=proof, root=root)
    for index, size in ((6, 6), (0, 7), (0, 0)):
        with pytest.raises(InclusionProofInvalid):
            lab.log.inclusion(index, size)
    for old, new in ((0, 6), (4, 3), (6, 7)):
        with pytest.raises(ConsistencyProofInvalid):
            lab.log.consistency(old, new)
