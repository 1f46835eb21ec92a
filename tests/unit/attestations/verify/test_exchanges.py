"""The log tells one story: every Promise kept once, nothing hidden, nothing rewritten, by one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attestations.canonical import canonical_bytes
from attestations.checkpoint import Checkpoint, sign_checkpoint
from attestations.digests import sha256
from attestations.documents.engagement import CloseStatement, RuntimeStatement
from attestations.documents.exchange import Record, Router
from attestations.envelope import Envelope
from attestations.errors import (
    AttestationKeyUnbound,
    AttestationNonceMismatch,
    AttributionFailed,
    CheckpointInvalid,
    CloseStatementMismatch,
    CosignOverdue,
    ExchangeOmitted,
    InclusionProofInvalid,
    LogEquivocation,
    LogRollback,
    MalformedEnvelope,
    PrevHashMismatch,
    PromiseMissing,
    PromiseUnfulfilled,
    RecordEquivocation,
    ResponseCommitmentMismatch,
    RuntimeDowngrade,
    SequenceEquivocation,
    SequenceGap,
    SignatureInvalid,
    SlaBreached,
    TimeOrderViolation,
    UndeclaredRouting,
    UsageMeterMismatch,
    VariantMismatch,
    WitnessQuorumUnmet,
)
from tests.support import world_agreement
from tests.support.reports import assert_refused, reasons
from tests.support.world import Exchange, Hooks, World
from tests.support.world_agreement import keys, witness_signers, witnesses


def altered(name: str, change: Callable[[Any], Any]) -> World:
    return World(hooks=Hooks(alter={name: change}))


def updated(name: str, **fields: Any) -> World:
    return altered(name, lambda document: document.model_copy(update=fields))


def without(*steps: tuple[Any, ...]) -> World:
    world = World()
    for step in steps:
        world.steps.remove(step)
    return world


def test_a_promise_without_a_record_is_unfulfilled() -> None:
    """T055: the last of its session."""
    assert_refused(without(("record", 39)).verify("S1"), PromiseUnfulfilled, 33)


def test_a_session_that_goes_on_past_an_open_promise_is_refused() -> None:
    """T055: in the middle of its session."""
    assert_refused(without(("record", 5)).verify("S1"), PromiseUnfulfilled, 33)


def test_two_records_for_one_promise_convict_the_lab() -> None:
    """T056."""
    world = World()
    world.steps.insert(world.steps.index(("record", 5)) + 1, ("record", 5))
    assert_refused(world.verify("S1"), RecordEquivocation, 32)


def test_a_record_of_another_promise_convicts_the_lab() -> None:
    """T056."""
    assert_refused(updated("record:5", promise="ab" * 32).verify("S1"), RecordEquivocation, 32)


def test_a_record_without_any_promise_is_refused() -> None:
    assert_refused(updated("record:5", session="session-9").verify("S1"), PromiseMissing, 33)


def test_an_answer_that_the_worker_did_not_sign_is_refused() -> None:
    """T057: the lab's record commits to another answer than the worker sealed."""

    def other(record: Record) -> Record:
        assert record.response is not None
        return record.model_copy(
            update={"response": record.response.model_copy(update={"commitment": sha256(b"other")})}
        )

    assert_refused(altered("record:5", other).verify("S1"), ResponseCommitmentMismatch, 30)


def test_usage_below_what_the_meter_counts_is_refused() -> None:
    """T060."""

    def less(record: Record) -> Record:
        return record.model_copy(update={"usage": record.usage.model_copy(update={"input_tokens": 2})})

    assert_refused(altered("record:5", less).verify("S1"), UsageMeterMismatch, 33)


@pytest.mark.parametrize("field", ["requests", "input_tokens", "output_tokens"])
def test_a_meter_that_jumps_is_refused(field: str) -> None:
    """T060, T063: a request that was executed twice costs twice."""

    def jump(record: Record) -> Record:
        more = str(int(getattr(record.meter_after, field)) + 1)
        return record.model_copy(update={"meter_after": record.meter_after.model_copy(update={field: more})})

    assert_refused(altered("record:5", jump).verify("S1"), UsageMeterMismatch, 33)


def test_a_meter_that_starts_again_is_refused() -> None:
    def again(record: Record) -> Record:
        return record.model_copy(update={"meter_before": record.meter_before.model_copy(update={"requests": "0"})})

    assert_refused(altered("record:5", again).verify("S1"), UsageMeterMismatch, 33)


@pytest.mark.parametrize("name", ["record:5", "promise:5"])
@pytest.mark.parametrize("field", ["variant", "manifest"])
def test_another_model_than_the_agreed_one_is_refused(name: str, field: str) -> None:
    """T061."""
    assert_refused(updated(name, **{field: "ab" * 32}).verify("S1"), VariantMismatch, 43)


def test_routing_without_a_word_is_refused() -> None:
    """T062."""
    world = updated("record:5", router=Router(used=False, served="fallback"))
    assert_refused(world.verify("S1"), UndeclaredRouting, 43)


def test_an_answer_of_another_model_is_refused_even_when_declared() -> None:
    """T062: what another model answered says nothing about this one."""
    world = updated("record:5", router=Router(used=True, served="fallback"))
    assert_refused(world.verify("S1"), VariantMismatch, 43)


def fork(release: Any, size: int) -> Any:
    note = sign_checkpoint(Checkpoint("lab.example/safeconduct/audit-1", size, bytes(32)), keys().lab_log)
    return release.model_copy(update={"after": note.to_text()})


def test_two_roots_of_one_size_convict_the_log() -> None:
    """T064."""
    size = World().build().log.events[2][0] - 0  # the log right after the delivery
    assert_refused(altered("release", lambda r: fork(r, size)).verify("S1"), LogEquivocation, 32)


def test_a_release_cannot_rest_on_a_later_log() -> None:
    assert_refused(altered("release", lambda r: fork(r, 500)).verify("S1"), AttributionFailed, 30)


def test_a_release_on_a_checkpoint_of_another_log_is_refused() -> None:
    def foreign(release: Any) -> Any:
        note = sign_checkpoint(Checkpoint("lab.example/other", 90, bytes(32)), keys().lab_log)
        return release.model_copy(update={"after": note.to_text()})

    assert_refused(altered("release", foreign).verify("S1"), CheckpointInvalid, 31)


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def test_a_log_shorter_than_its_checkpoint_is_a_rollback() -> None:
    """T065."""

    def cut(members: dict[str, bytes]) -> None:
        members["log.jsonl"] = b"".join(lines(members["log.jsonl"])[:-1])

    assert_refused(World().verify("S2", change=cut), LogRollback, 32)


def test_a_leaf_removed_before_the_close_is_missed() -> None:
    """T066: every later leaf says where it stood."""

    def cut(members: dict[str, bytes]) -> None:
        leaves = lines(members["log.jsonl"])
        del leaves[20]
        members["log.jsonl"] = b"".join(leaves)

    report = World().verify("S2", change=cut)
    assert_refused(report, LogRollback, 32)
    assert {"INCLUSION_PROOF_INVALID", "PREV_HASH_MISMATCH", "PROMISE_UNFULFILLED"} & set(reasons(report))


def test_two_leaves_that_changed_places_are_noticed() -> None:
    """T066."""

    def swap(members: dict[str, bytes]) -> None:
        leaves = lines(members["log.jsonl"])
        leaves[20], leaves[21] = leaves[21], leaves[20]
        members["log.jsonl"] = b"".join(leaves)

    assert_refused(World().verify("S2", change=swap), InclusionProofInvalid, 31)


def test_a_foreign_leaf_at_the_end_is_not_under_the_checkpoint() -> None:
    def add(members: dict[str, bytes]) -> None:
        members["log.jsonl"] += lines(members["log.jsonl"])[-1]

    assert_refused(World().verify("S2", change=add), CheckpointInvalid, 31)


def test_a_transcript_left_out_is_missed() -> None:
    """T067."""
    assert_refused(altered("chunks:C7", lambda chunks: chunks[:-1]).verify("S5"), ExchangeOmitted, 33)
    assert_refused(altered("chunks:C7", lambda chunks: [*chunks, chunks[-1]]).verify("S5"), ExchangeOmitted, 33)


def test_a_log_the_auditor_has_not_cosigned_is_overdue() -> None:
    """T068."""

    def bare(members: dict[str, bytes]) -> None:
        note = members["checkpoint.txt"].decode().splitlines(keepends=True)
        members["checkpoint.txt"] = "".join(line for line in note if "/cosign" not in line).encode()

    assert_refused(World().verify("S1", change=bare), CosignOverdue, 21)


def test_a_cosignature_that_does_not_hold_is_invalid() -> None:
    def other(members: dict[str, bytes]) -> None:
        later = World().members("S2", "REGULATOR")["checkpoint.txt"].decode().splitlines(keepends=True)
        note = members["checkpoint.txt"].decode().splitlines(keepends=True)
        members["checkpoint.txt"] = "".join([*note[:-1], later[-1]]).encode()

    assert_refused(World().verify("S1", change=other), SignatureInvalid, 20)


@pytest.mark.parametrize("count", ["promised", "completed", "refused_policy", "error", "timeout", "refusals"])
def test_a_close_that_counts_otherwise_is_refused(count: str) -> None:
    """T069."""

    def miscount(close: CloseStatement) -> CloseStatement:
        return close.model_copy(update={"counts": close.counts.model_copy(update={count: "7"})})

    assert_refused(altered("close", miscount).verify("S1"), CloseStatementMismatch, 33)


@pytest.mark.parametrize(
    "field",
    [{"tree_size": "7"}, {"root": "ab" * 32}, {"sessions": ()}],
)
def test_a_close_of_another_log_is_refused(field: dict[str, Any]) -> None:
    """T069."""
    assert_refused(updated("close", **field).verify("S1"), CloseStatementMismatch, 33)


def test_a_close_with_another_meter_is_refused() -> None:
    """T069."""

    def less(close: CloseStatement) -> CloseStatement:
        return close.model_copy(update={"meter": close.meter.model_copy(update={"output_tokens": "1"})})

    assert_refused(altered("close", less).verify("S1"), CloseStatementMismatch, 33)


def test_a_second_close_is_refused() -> None:
    world = World()
    world.steps.insert(world.steps.index(("close",)) + 1, ("close",))
    assert_refused(world.verify("S1", size=world.build().size_at("S1", "REGULATOR")), CloseStatementMismatch, 33)


def test_one_witness_under_two_names_is_one_witness() -> None:
    """T070: distinct keys, not names."""
    one = witness_signers()[0]
    named = [("witness-0.example", one), ("alias.example", one), ("witness-1.example", witness_signers()[1])]
    agreement = world_agreement.agreement(witnesses=witnesses(2, *named).json_value())
    world = World(agreement=agreement, witnesses=named[:2])
    listed = tuple(agreement.witnesses.keys)
    from tests.support.world import check

    report = check(world.evidence("S1"), trust=world_agreement.trust(witnesses=listed))
    assert_refused(report, WitnessQuorumUnmet, 34)


def test_a_witness_the_reader_does_not_know_does_not_count() -> None:
    named = [(signer.key.party, signer) for signer in witness_signers()[:2]]
    agreement = world_agreement.agreement(witnesses=witnesses(2, *named).json_value())
    from tests.support.world import check

    report = check(
        World(agreement=agreement, witnesses=named).evidence("S1"), trust=world_agreement.trust(witnesses=())
    )
    assert_refused(report, WitnessQuorumUnmet, 34)


def test_more_crashes_than_were_agreed_breach_the_agreement() -> None:
    """T071: a lab that may abort at will may choose its answers."""
    schedule = [Exchange(i, i % 4, status="ABORTED_CRASH" if i < 3 else "COMPLETED") for i in range(40)]
    schedule += [Exchange(i, i, attempt=1) for i in range(3)]
    assert_refused(World(exchanges=schedule).verify("S1"), SlaBreached, 33)


def test_an_exchange_after_the_close_is_not_part_of_the_run() -> None:
    """T078."""
    world = World(exchanges=[*(Exchange(i, i % 4) for i in range(40)), Exchange(0, 0, attempt=1)])
    for step in (("promise", 40), ("record", 40)):
        world.steps.remove(step)
        world.steps.insert(world.steps.index(("grade",)), step)
    assert_refused(world.verify("S1"), ExchangeOmitted, 33)


def test_a_statement_for_another_challenge_is_refused() -> None:
    """T083."""
    assert_refused(updated("runtime", nonce="ab" * 32).verify("S1"), AttestationNonceMismatch, 44)


def test_a_request_sealed_to_a_key_nobody_stated_is_refused() -> None:
    """T083."""
    assert_refused(updated("intent-fields:5", worker_key="ab" * 32).verify("S1"), AttestationKeyUnbound, 44)


def test_a_level_without_its_evidence_is_refused() -> None:
    """T083."""
    report = updated("runtime", level="RA3").verify("S1")
    assert_refused(report, AttestationKeyUnbound, 30)  # and the attestation says RA0
    assert report.assurance is not None
    assert report.assurance.model_identity == "MI0"


def test_a_lower_level_than_agreed_is_a_downgrade() -> None:
    """T085."""
    agreement = world_agreement.agreement(runtime={"level": "RA1"})
    assert_refused(World(agreement=agreement).verify("S1"), RuntimeDowngrade, 44)


def test_an_exchange_without_runtime_evidence_is_refused() -> None:
    """T119: stripped from the log, and from what is derived."""
    report = updated("intent-fields:5", evidence="ab" * 32).verify("S1")
    assert_refused(report, AttributionFailed, 30)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"seq": 7}, SequenceGap), ({"seq": 0}, SequenceEquivocation), ({"prev": "ab" * 32}, PrevHashMismatch)],
)
def test_an_intent_out_of_its_place_is_refused(change: dict[str, Any], error: type[Any]) -> None:
    """T046, T047, T049, as they would look in a log."""
    assert_refused(updated("intent-fields:9", **change).verify("S1"), error)


@pytest.mark.parametrize("name", ["promise:5", "record:5", "session-grant:1", "receipt:close"])
def test_a_leaf_that_is_not_where_the_lab_put_it_is_refused(name: str) -> None:
    assert_refused(updated(name, log_index="9999").verify("S1"), InclusionProofInvalid, 31)


def test_the_labs_clock_does_not_run_backwards() -> None:
    assert_refused(updated("record:5", finished_at="2026-11-02T12:00:00Z").verify("S1"), TimeOrderViolation, 31)


def test_a_leaf_dated_after_its_cosignature_is_refused() -> None:
    world = updated("receipt:release:C1:REGULATOR", logged_at="2026-11-05T09:30:00Z")
    assert_refused(world.verify("S1"), TimeOrderViolation, 31)


@pytest.mark.parametrize(
    "name", ["registration", "runtime", "intent:5", "promise:5", "record:5", "close", "grades", "manifest", "release"]
)
def test_a_document_of_another_agreement_is_refused(name: str) -> None:
    report = updated(name, agreement="ab" * 32).verify("S1")
    assert_refused(report, AttributionFailed, 30)


def test_a_leaf_of_another_kind_of_document_is_refused() -> None:
    def change(members: dict[str, bytes]) -> None:
        members["log.jsonl"] = members["log.jsonl"].replace(b'"kind":"session"}', b'"kind":"gossip"}', 1)

    assert_refused(World().verify("S1", change=change), MalformedEnvelope, 10)


def test_a_cancellation_is_of_its_own_exchange() -> None:
    schedule = [Exchange(i, i % 4, status="CANCELLED_BY_AUDITOR" if i == 6 else "COMPLETED") for i in range(40)]
    hooks = Hooks(alter={"cancel": lambda cancel: cancel.model_copy(update={"promise": "ab" * 32})})
    assert_refused(World(exchanges=schedule, hooks=hooks).verify("S1"), AttributionFailed, 30)


def test_a_runtime_statement_is_the_labs() -> None:
    def forged(envelope: Envelope) -> Envelope:
        return Envelope(RuntimeStatement.payload_type, canonical_bytes({"v": "safeconduct/v1"}), envelope.signatures)

    assert_refused(World(hooks=Hooks(envelopes={"runtime": forged})).verify("S1"), SignatureInvalid, 20)
