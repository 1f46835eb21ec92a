"""What a lab may get wrong or try, and the name each finds."""

from __future__ import annotations

import pytest

from attestations.errors import (
    AttestationNonceMismatch,
    LogEquivocation,
    LogRollback,
    RecordEquivocation,
    ResponseCommitmentMismatch,
    ResponseTruncated,
    SafeconductError,
    SequenceEquivocation,
    SequenceGap,
    SignatureInvalid,
    SignerRoleMismatch,
    TimeOrderViolation,
    UndeclaredRouting,
    UsageMeterMismatch,
    VariantMismatch,
)
from tests.unit.auditor_client.conftest import Audit


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("promise_wrong_key", SignerRoleMismatch),
        ("promise_other_intent", SequenceEquivocation),
        ("promise_other_model", VariantMismatch),
        ("promise_back_in_time", TimeOrderViolation),
        ("record_other_model", VariantMismatch),
        ("silent_routing", UndeclaredRouting),
        ("meter", UsageMeterMismatch),
        ("wrong_answer", ResponseCommitmentMismatch),
        ("worker_signature", SignatureInvalid),
        ("truncate_for_ever", ResponseTruncated),
        ("wrong_nonce", AttestationNonceMismatch),
    ],
)
async def test_the_lab_breaks_the_protocol(audit: Audit, fault: str, error: type[SafeconductError]) -> None:
    """T057, T059 and others; each parameter names its error."""
    audit.lab.misbehave(fault, at=1)

    with pytest.raises(error):
        await audit.run(lanes=1)


async def test_nothing_is_revealed_under_a_bad_promise(audit: Audit) -> None:
    """T051."""
    audit.lab.misbehave("promise_other_model", at=1)
    with pytest.raises(VariantMismatch):
        await audit.run(lanes=1)

    assert audit.lab.calls == []


async def test_two_records_for_one_promise_are_found_in_the_log(audit: Audit) -> None:
    audit.lab.misbehave("two_records", at=2)

    with pytest.raises((RecordEquivocation, LogEquivocation)):
        await audit.run(lanes=1)


async def test_a_promise_that_names_another_place_in_the_log_is_found(audit: Audit) -> None:
    audit.lab.misbehave("index_gap", at=2)

    with pytest.raises((TimeOrderViolation, LogEquivocation)):
        await audit.run(lanes=1)


async def test_a_log_that_became_shorter_is_a_rollback(audit: Audit) -> None:
    await audit.run()
    audit.lab.leaves_.pop()
    audit.lab.tree = type(audit.lab.tree)()
    from attestations.merkle import leaf_hash

    for leaf in audit.lab.leaves_:
        audit.lab.tree.append(leaf_hash(leaf))

    with pytest.raises(LogRollback):
        await audit.cosigner.cosign()


async def test_two_roots_for_one_size_are_an_equivocation(audit: Audit) -> None:
    await audit.run()
    audit.lab.forks = True

    with pytest.raises(LogEquivocation):
        await audit.cosigner.cosign()


async def test_a_leaf_we_never_sent_is_not_cosigned(audit: Audit) -> None:
    await audit.run()
    audit.lab.leaves_[3], audit.lab.leaves_[4] = audit.lab.leaves_[4], audit.lab.leaves_[3]
    audit.mirror.rewind(0)
    audit.cosigner._at = audit.cosigner._meter = None

    with pytest.raises((SequenceGap, TimeOrderViolation)):
        await audit.cosigner.cosign()
