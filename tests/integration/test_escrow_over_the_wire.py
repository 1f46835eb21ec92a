"""A real lab and class keys in escrow: what it logs, what it refuses, and that it signs for nothing before."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from attestations.documents.base import format_time, validated
from attestations.documents.engagement import LogReceipt, Package, PackageManifest
from attestations.documents.escrow import EscrowManifest, EscrowVerified
from attestations.envelope import Envelope, open_document, sign_document
from attestations.errors import (
    AttributionFailed,
    CommitmentMismatch,
    EngagementUnknown,
    EscrowShareInvalid,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PhaseViolation,
    PolicyUnsatisfiable,
    SignatureInvalid,
)
from attestations.escrow.dealing import put_in_escrow
from attestations.escrow.holding import LoggedManifest, prove_held
from attestations.escrow.structure import Escrow
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from safeconduct.v1 import disclosure_service_pb2 as disclosure
from tests.integration.gateway import Audit, audited
from tests.support.auditor_identity import SUITE
from tests.support.lab_process import LabProcess
from tests.support.small_auditor import SmallAuditor, outcome, unwired, wire
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import HOLDERS, STRUCTURE, holder, receive_key


@asynccontextmanager
async def graded(folder: Path) -> AsyncIterator[Audit]:
    """A lab and an auditor whose second engagement has holders, and is closed and graded."""
    async with audited(folder) as audit:
        auditor = audit.auditor
        terms = await auditor.terms()
        parties = (terms.lab, auditor.keys.identity.party(), *map(holder, HOLDERS))
        await auditor.negotiate("audit-2", parties=parties, escrow=validated(Escrow, STRUCTURE))
        await auditor.register()
        await auditor.confirm_close(await auditor.close_statement())
        yield audit


def dealt(auditor: SmallAuditor, name: str = "C2", **changes: Any) -> Envelope:
    key = SUITE.class_key(name)
    document = put_in_escrow(
        auditor.agreed, key, digest=auditor.digest, made_at=format_time(datetime.now(UTC)), randomness=os.urandom
    )
    return auditor.signed(document.model_copy(update=changes), KeyUse.PUBLICATION)


def receipt(auditor: SmallAuditor, name: str, *dealings: Envelope) -> EscrowVerified:
    manifests = [LoggedManifest(item.digest, EscrowManifest.parse(item.payload)) for item in dealings]
    return EscrowVerified(
        agreement=auditor.digest,
        holder=name,
        classes=prove_held(manifests, receive_key(name), holder=name),
        verified_at=format_time(datetime.now(UTC)),
    )


async def send(auditor: SmallAuditor, document: Envelope) -> Envelope:
    answer = await auditor.disclosure.Escrow(disclosure.EscrowRequest(document=wire(document)))
    return unwired(answer.receipt)


async def deliver(auditor: SmallAuditor) -> Any:
    package = Package(
        content_class="C2",
        chunks=1,
        ciphertext_root="aa" * 32,
        key_root="bb" * 32,
        key_commitment=SUITE.class_key("C2").commitment(),
        file_bytes="1",
        file_digest="cc" * 32,
    )
    document = PackageManifest(agreement=auditor.digest, packages=(package,), sealed_at=format_time(datetime.now(UTC)))
    manifest = auditor.signed(document, KeyUse.PUBLICATION)

    async def parts() -> AsyncIterator[Any]:
        yield disclosure.DeliverRequest(manifest=wire(manifest))

    return await auditor.disclosure.Deliver(parts())


async def again(lab: LabProcess, auditor: SmallAuditor) -> None:
    await lab.kill()
    await lab.start()
    await auditor.connect(lab.address)


async def test_keys_are_in_escrow_before_the_lab_signs_for_anything(tmp_path: Path) -> None:
    async with graded(tmp_path) as (lab, auditor):
        early = await outcome(send(auditor, dealt(auditor)))
        assert isinstance(early, PhaseViolation)
        await auditor.commit_grades()

        first, second = dealt(auditor), dealt(auditor, "C3")
        got = await send(auditor, first)
        logged = open_document(got, LogReceipt, required=(auditor.agreed.lab_key(KeyUse.RECORD),))
        assert (logged.kind, logged.document) == ("escrow", first.digest)
        assert await send(auditor, first) == got
        refused = await outcome(deliver(auditor))
        assert isinstance(refused, PhaseViolation)
        assert "C3" in refused.message
        await again(lab, auditor)
        assert await send(auditor, first) == got
        assert isinstance(await outcome(send(auditor, dealt(auditor))), CommitmentMismatch)
        await send(auditor, second)
        # Now the delivery itself is looked at, and this one is nonsense.
        assert not isinstance(await outcome(deliver(auditor)), PhaseViolation | None)


async def test_what_is_not_a_dealing_of_this_agreement_is_refused(tmp_path: Path) -> None:
    async with graded(tmp_path) as (_, auditor):
        await auditor.commit_grades()
        good = EscrowManifest.parse(dealt(auditor).payload)
        other_key = {"key_commitment": "0f" * 32}
        wrong: list[tuple[Envelope, type[Exception]]] = [
            (dealt(auditor, **other_key), KeyCommitmentMismatch),
            (dealt(auditor, branches=good.branches[:1]), MalformedEnvelope),
            (dealt(auditor, supersedes="0e" * 32), CommitmentMismatch),
            (dealt(auditor, agreement="0d" * 32), EngagementUnknown),
            (sign_document(good, p256_signer("nobody.example", KeyUse.PUBLICATION)), SignatureInvalid),
        ]
        for envelope, error in wrong:
            assert isinstance(await outcome(send(auditor, envelope)), error), error


async def test_holders_receipts_are_checked_and_logged(tmp_path: Path) -> None:
    async with graded(tmp_path) as (_, auditor):
        await auditor.commit_grades()
        mine, other = dealt(auditor), dealt(auditor)
        await send(auditor, mine)
        signer = p256_signer("t1", KeyUse.AGREEMENT)
        good = receipt(auditor, "t1", mine)
        stolen = good.model_copy(update={"holder": "t2"})
        assert isinstance(
            await outcome(send(auditor, sign_document(receipt(auditor, "t1", other), signer))), AttributionFailed
        )
        assert isinstance(await outcome(send(auditor, sign_document(stolen, signer))), SignatureInvalid)
        by_t2 = sign_document(stolen, p256_signer("t2", KeyUse.AGREEMENT))
        assert isinstance(await outcome(send(auditor, by_t2)), EscrowShareInvalid)

        envelope = sign_document(good, signer)
        assert await send(auditor, envelope) == await send(auditor, envelope)


async def test_a_lab_submits_what_holders_hand_it_whether_it_serves_or_not(tmp_path: Path) -> None:
    """The same checks, by the lab's own command."""
    async with graded(tmp_path) as (lab, auditor):
        await auditor.commit_grades()
        mine = dealt(auditor)
        await send(auditor, mine)
        files = {}
        for name, by in (("t1", "t1"), ("t2", "t2"), ("t3", "t1")):
            made = receipt(auditor, by, mine).model_copy(update={"holder": name})
            files[name] = tmp_path / f"receipt-{name}.json"
            files[name].write_bytes(sign_document(made, p256_signer(name, KeyUse.AGREEMENT)).to_bytes())
        code, out, errors = await lab.command("submit", str(files["t1"]))
        assert (code, errors) == (0, "")
        assert "logged as leaf" in out
        assert "ESCROW_SHARE_INVALID" in (await lab.command("submit", str(files["t3"])))[2]
        await lab.stop()
        assert (await lab.command("submit", str(files["t1"])))[:2] == (0, out)  # the same bytes, the same receipt
        assert (await lab.command("submit", str(files["t2"])))[0] == 0
        await lab.start()
        await auditor.connect(lab.address)
        await auditor.follow()
        assert [parse_entry(leaf).kind for leaf in auditor.leaves].count("escrow_verified") == 2


async def test_an_escrow_that_cannot_work_is_never_agreed_to(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        terms = await auditor.terms()
        mute = holder("t3").model_copy(update={"keys": holder("t3").keys[:1]})
        parties = (terms.lab, auditor.keys.identity.party(), *map(holder, HOLDERS[:3]), mute)
        body = auditor.proposal(terms, "audit-2", parties=parties, escrow=validated(Escrow, STRUCTURE))
        refused = await outcome(auditor.send_offer(auditor.offer(body)))
        assert isinstance(refused, PolicyUnsatisfiable)
        with pytest.raises(grpc.aio.AioRpcError):
            await auditor.send_offer(auditor.offer(body))
