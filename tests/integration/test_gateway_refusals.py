"""What a gateway refuses, with which reason, and what of it stands in the log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from attestations.digests import sha256
from attestations.documents.agreement import Transport
from attestations.documents.base import decode, encode
from attestations.documents.dialogue import Sampling
from attestations.documents.exchange import Cancel, Refusal, TokenBudget
from attestations.envelope import Envelope, Signature, pae, parse_envelope
from attestations.keys import KeyUse
from attestations.log_entries import parse_entry
from safeconduct.v1 import access_service_pb2 as access, envelope_pb2, transcript_service_pb2 as transcript
from tests.integration.gateway import audited
from tests.support.auditor_identity import new_keys, write_identity
from tests.support.lab_process import new_lab
from tests.support.small_auditor import Lane, Prepared, SmallAuditor, failure, outcome, wire


async def stream_error(auditor: SmallAuditor, *messages: access.ExchangeRequest) -> str:
    stream = auditor.stream()
    for message in messages:
        await stream.write(message)
    return (await failure(stream)).reason


def intent(prepared: Prepared) -> access.ExchangeRequest:
    return access.ExchangeRequest(intent=wire(prepared.envelope))


def reveal(prepared: Prepared, **changes: bytes) -> access.ExchangeRequest:
    return access.ExchangeRequest(
        reveal=access.Reveal(**{"sealed": prepared.sealed, "seed_share": prepared.seed_share, **changes})
    )


async def test_what_lies_outside_the_agreement_is_refused_with_a_signed_reason(tmp_path: Path) -> None:
    """T075, T077."""
    grant = 'tools = false\nmax_top_logprobs = 0\nmax_output_tokens = 64\noperations = ["chat"]\n'
    async with audited(tmp_path, grant=grant) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        outside: dict[str, dict[str, Any]] = {
            "variant": {"variant": "other"},
            "template": {"template": "99" * 32},
            "operation": {"operation": "score"},
            "tools": {"tools": True},
            "top_logprobs": {"sampling": Sampling(max_output_tokens=64, top_logprobs=1)},
            "output_tokens": {"budget_max": TokenBudget(input_tokens=1, output_tokens=65)},
            "not_after": {"not_after": "2026-01-01T00:00:00Z"},
            "evidence": {"evidence": "99" * 32},
            "worker_key": {"worker_key": "99" * 32},
        }
        for rule, changes in outside.items():
            _, ended = await auditor.ask(lane, **changes)
            assert ended.refusal is not None, rule
            refusal = Refusal.parse(ended.refusal.payload)
            assert (refusal.reason, refusal.rule) == ("SCOPE_EXCEEDED", rule)
        _, inside = await auditor.ask(lane)
        assert inside.status == "COMPLETED"
        await auditor.cosign()
        kinds = [parse_entry(leaf).kind for leaf in auditor.leaves]
        assert kinds.count("refusal") == len(outside)


async def test_a_budget_is_reserved_and_never_exceeded(tmp_path: Path) -> None:
    """T076."""
    async with audited(tmp_path, grant='requests = "2"\ninput_tokens = "600"\n') as (_, auditor):
        one, two = await auditor.open_session("lane-1"), await auditor.open_session("lane-2")
        stream = auditor.stream()
        await auditor.promised(stream, auditor.prepare(one))
        greedy = await auditor.ask(two, budget_max=TokenBudget(input_tokens=400, output_tokens=64))
        assert greedy[1].status == "REFUSED BUDGET_EXHAUSTED"
        assert (await auditor.ask(two))[1].status == "COMPLETED"
        assert (await auditor.ask(two))[1].status == "REFUSED BUDGET_EXHAUSTED"


async def test_a_place_out_of_order_is_refused_and_takes_no_place(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        size = (await auditor.follow()).size
        assert await stream_error(auditor, intent(auditor.prepare(lane, seq=1))) == "SEQUENCE_GAP"
        assert await stream_error(auditor, intent(auditor.prepare(lane, prev="99" * 32))) == "PREV_HASH_MISMATCH"
        nowhere = Lane("nowhere", lane.prev)
        assert await stream_error(auditor, intent(auditor.prepare(nowhere))) == "SESSION_UNKNOWN"
        assert await stream_error(auditor, reveal(auditor.prepare(lane))) == "REVEAL_BEFORE_PROMISE"
        assert await stream_error(auditor, access.ExchangeRequest()) == "MALFORMED_ENVELOPE"
        assert (await auditor.follow()).size == size
        assert (await auditor.ask(lane))[1].status == "COMPLETED"


async def test_a_reveal_of_something_else_ends_the_exchange(tmp_path: Path) -> None:
    """T050, T052."""
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        for changes, reason in (
            ({"sealed": b"something else"}, "REVEAL_MISMATCH"),
            ({"seed_share": bytes(32)}, "SEED_MISMATCH"),
        ):
            prepared = auditor.prepare(lane)
            assert await stream_error(auditor, intent(prepared), reveal(prepared, **changes)) == reason
            ended = await auditor.finish(stream := auditor.stream(), await auditor.promised(stream, prepared))
            assert ended.status == f"CANCELLED_BY_AUDITOR {reason}"
            auditor.move(lane, ended)


async def test_a_promise_nobody_uses_ends_and_counts(tmp_path: Path) -> None:
    """T126."""
    async with audited(tmp_path, reveal_seconds=1, grant="unrevealed = 1\n") as (_, auditor):
        lane = await auditor.open_session("lane-1")
        prepared = auditor.prepare(lane)
        await auditor.promised(auditor.stream(), prepared)
        await asyncio.sleep(1.3)
        ended = await auditor.finish(stream := auditor.stream(), await auditor.promised(stream, prepared))
        assert ended.status == "CANCELLED_BY_AUDITOR REVEAL_OVERDUE"
        auditor.move(lane, ended)
        _, refused = await auditor.ask(lane)
        assert refused.status == "REFUSED RATE_LIMITED"


async def test_a_cancelled_promise_ends_with_the_cancellation_in_the_log(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        stream = auditor.stream()
        ended = await auditor.promised(stream, auditor.prepare(lane))
        assert ended.promise is not None
        cancel = Cancel(agreement=auditor.digest, session=lane.name, seq=0, promise=ended.promise.digest)
        signed = auditor.signed(cancel, KeyUse.EXCHANGE)
        await stream.write(access.ExchangeRequest(cancel=wire(signed)))
        await auditor.finish(stream, ended)
        assert ended.status == "CANCELLED_BY_AUDITOR CANCELLED"
        await auditor.cosign()
        assert parse_entry(auditor.leaves[-1]).documents[0].digest == signed.digest


async def test_what_the_worker_cannot_open_or_did_not_expect_is_recorded_not_run(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        other = auditor.prepare(Lane("lane-1", lane.prev, seq=7)).sealed
        prepared = auditor.prepare(lane, sealed_digest=sha256(other), sealed_bytes=len(other))
        ended = await auditor.carry(auditor.stream(), prepared._replace(sealed=other))
        assert ended.status == "ERROR SEALED_OPEN_FAILED"
        auditor.move(lane, ended)
        assert (await auditor.ask(lane, plaintext_commit="99" * 32))[1].status == "ERROR PLAINTEXT_COMMIT_MISMATCH"
        assert (await auditor.ask(lane, operation="score"))[1].status == "REFUSED_POLICY OPERATION_MISMATCH"
        assert (await auditor.ask(lane, plain=b"not a request"))[1].status == "ERROR MALFORMED_ENVELOPE"


async def test_nothing_is_logged_between_close_and_its_confirmation_even_over_a_restart(tmp_path: Path) -> None:
    async with audited(tmp_path) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        await auditor.ask(lane)
        await auditor.cosign()
        both = await auditor.close_statement()
        size = (await auditor.follow()).size
        assert await stream_error(auditor, intent(auditor.prepare(lane))) == "PHASE_VIOLATION"

        await lab.kill()
        await lab.start()
        await auditor.connect(lab.address)
        assert await stream_error(auditor, intent(auditor.prepare(lane))) == "PHASE_VIOLATION"
        error = await outcome(auditor.refresh_runtime())
        assert error is not None
        assert error.reason == "PHASE_VIOLATION"
        assert (await auditor.close_statement()).digest == both.digest
        assert (await auditor.follow()).size == size
        receipt = await auditor.confirm_close(both)
        assert await auditor.confirm_close(both) == receipt
        assert await stream_error(auditor, intent(auditor.prepare(lane))) == "PHASE_VIOLATION"
        await auditor.cosign()


async def test_steps_out_of_their_phase_are_refused(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        error = await outcome(auditor.commit_grades())
        assert error is not None
        assert error.reason == "PHASE_VIOLATION"
        other = await outcome(auditor.register(auditor.registration(root="dd" * 32)))
        assert other is not None
        assert other.reason == "PRE_REGISTRATION_ALTERED"
        lane = await auditor.open_session("lane-1")
        stream = auditor.stream()
        await auditor.promised(stream, auditor.prepare(lane))
        running = await outcome(auditor.close_statement())
        assert running is not None
        assert running.reason == "PHASE_VIOLATION"


async def test_a_lab_whose_store_went_back_signs_nothing_more(tmp_path: Path) -> None:
    async with audited(tmp_path) as (lab, auditor):
        lane = await auditor.open_session("lane-1")
        await auditor.ask(lane)
        await lab.stop()
        backup = lab.home.store.read_bytes()
        await lab.start()
        await auditor.connect(lab.address)
        await auditor.refresh_runtime()
        await auditor.ask(lane)
        await auditor.cosign()
        await lab.stop()
        lab.home.store.write_bytes(backup)
        await lab.start()
        await auditor.connect(lab.address)

        request = access.ResumeRequest(agreement=auditor.digest, session=lane.name, checkpoint=auditor.checkpoint)
        error = await outcome(auditor.access.Resume(request))
        assert error is not None
        assert error.reason == "LOG_ROLLBACK"
        checkpoint = transcript.GetCheckpointRequest(agreement=auditor.digest)
        refused = await outcome(auditor.transcript.GetCheckpoint(checkpoint))
        assert refused is not None
        assert refused.reason == "LOG_ROLLBACK"
        again = await outcome(auditor.refresh_runtime())
        assert again is not None
        assert again.reason == "LOG_ROLLBACK"


async def test_two_auditors_meet_neither_in_names_nor_in_logs(tmp_path: Path) -> None:
    keys = [new_keys("one.example"), new_keys("two.example")]
    lab = new_lab(tmp_path / "lab", auditors=[write_identity(item, tmp_path) for item in keys])
    await lab.start()
    one, two = (SmallAuditor(item, lab.home.identity) for item in keys)
    try:
        for auditor in (one, two):
            await auditor.connect(lab.address)
            await auditor.negotiate("the-same-name")
            await auditor.register()
        assert one.agreed.origin != two.agreed.origin
        lane = await one.open_session("lane")

        two.envelope, mine = one.envelope, two.envelope
        error = await outcome(two.follow())
        assert error is not None
        assert error.reason == "ENGAGEMENT_UNKNOWN"
        two.runtime = one.runtime
        assert await stream_error(two, intent(two.prepare(lane))) in ("ENGAGEMENT_UNKNOWN", "SIGNATURE_INVALID")
        two.envelope = mine
        assert (await two.ask(await two.open_session("lane")))[1].status == "COMPLETED"
    finally:
        for auditor in (one, two):
            await auditor.disconnect()
        await lab.stop()


async def test_an_offer_outside_the_terms_names_the_field(tmp_path: Path) -> None:
    async with audited(tmp_path) as (_, auditor):
        terms = await auditor.terms()
        outside: dict[str, dict[str, Any]] = {
            "scope.maxSessions": {"scope": terms.scope.model_copy(update={"max_sessions": 9})},
            "budget.requests": {"budget": terms.budget.model_copy(update={"requests": "999999999"})},
            "access": {"access": terms.access.model_copy(update={"not_after": "2099-01-01T00:00:00Z"})},
            "timing": {"timing": terms.timing.model_copy(update={"skew_seconds": 3600})},
            "origin": {"origin": "lab.example/another-log"},
            "transport": {"transport": Transport(gateway="99" * 32, auditor=auditor.keys.pin)},
        }
        for field, changes in outside.items():
            offer = auditor.offer(auditor.proposal(terms, "audit-2", **changes))
            error = await outcome(auditor.send_offer(offer))
            assert error is not None, field
            assert (error.reason, error.facts["field"]) == ("TERMS_REFUSED", field)
        first = auditor.offer(auditor.proposal(terms, "audit-2"))
        accepted = await auditor.send_offer(first)
        assert await auditor.send_offer(first) == accepted
        locked = await outcome(auditor.send_offer(auditor.offer(auditor.proposal(terms, "audit-2"), minutes=5)))
        assert locked is not None
        assert locked.reason == "SIGNATURE_LOCKED"


@pytest.mark.parametrize("damage", ["flipped", "garbage", "wrong role"])
async def test_foreign_bytes_get_one_of_our_reasons(tmp_path: Path, damage: str) -> None:
    async with audited(tmp_path) as (_, auditor):
        lane = await auditor.open_session("lane-1")
        prepared = auditor.prepare(lane)
        data = bytearray(prepared.envelope.to_bytes())
        if damage == "garbage":
            data = bytearray(os.urandom(200))
        elif damage == "wrong role":
            document = prepared.envelope
            signer = auditor.keys.signers[KeyUse.PUBLICATION]
            signature = Signature(signer.key.id, signer.sign(pae(document.payload_type, document.payload)))
            data = bytearray(Envelope(document.payload_type, document.payload, (signature,)).to_bytes())
        else:
            body = parse_envelope(bytes(data))
            broken = bytearray(body.signatures[0].sig)
            broken[-1] ^= 1
            changed = encode(bytes(broken)).encode()
            data = bytearray(bytes(data).replace(encode(body.signatures[0].sig).encode(), changed))
            assert decode(changed.decode()) == bytes(broken)
        message = access.ExchangeRequest(intent=envelope_pb2.SignedEnvelope(dsse=bytes(data)))
        expected = {
            "flipped": "SIGNATURE_INVALID",
            "garbage": "MALFORMED_ENVELOPE",
            "wrong role": "SIGNER_ROLE_MISMATCH",
        }
        assert await stream_error(auditor, message) == expected[damage]
