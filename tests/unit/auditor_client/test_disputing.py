"""What an auditor keeps when a lab strays, and the verdict over the case it makes of it."""

from __future__ import annotations

import pytest

from attestations.adjudication.case import parse_case
from attestations.adjudication.judging import adjudicate
from attestations.adjudication.verdict import Verdict
from attestations.errors import (
    EvidenceMissing,
    LabUnreachable,
    LogEquivocation,
    LogRollback,
    PromiseUnfulfilled,
    RecordEquivocation,
    SafeconductError,
)
from attestations.merkle import Tree, leaf_hash
from attestations.trust import Trust, TrustedParty
from auditor_client.disputing import kept_case
from tests.unit.auditor_client.conftest import Audit


def verdict(audit: Audit) -> Verdict:
    """Return what a stranger with the case file and both parties' keys finds."""
    engagement = audit.world.engagement()
    case = parse_case(kept_case(engagement, audit.journal, audit.mirror).to_bytes())
    assert b"canary-prompt" not in b"".join(document.payload for document in case.documents)
    parties = engagement.agreement.parties
    trust = Trust(parties=tuple(TrustedParty(role=item.role, id=item.id, keys=item.keys) for item in parties))
    found = adjudicate(case, trust)
    assert {role for role, _ in found.blamed} <= {"lab"}
    return found


async def test_an_honest_lab_leaves_nothing_to_dispute(audit: Audit) -> None:
    await audit.run()
    with pytest.raises(EvidenceMissing):
        kept_case(audit.world.engagement(), audit.journal, audit.mirror)


async def test_two_records_convict_the_lab(audit: Audit) -> None:
    """T056."""
    audit.lab.misbehave("two_records", at=2)
    with pytest.raises((RecordEquivocation, LogEquivocation)):
        await audit.run(lanes=1)

    found = verdict(audit)
    assert found.blamed & {("lab", "RECORD_EQUIVOCATION"), ("lab", "LOG_EQUIVOCATION")}
    assert found.exit_code == 32


async def test_two_roots_of_one_size_convict_the_lab(audit: Audit) -> None:
    """T064."""
    await audit.run()
    audit.lab.forks = True
    with pytest.raises(LogEquivocation):
        await audit.cosigner.cosign()

    assert verdict(audit).blamed == {("lab", "LOG_EQUIVOCATION")}


@pytest.mark.parametrize("rewritten", [True, False])
async def test_a_shorter_log_convicts_the_lab_only_if_it_is_another(audit: Audit, rewritten: bool) -> None:  # noqa: FBT001
    """T065: an old checkpoint shown again is a rollback, and no equivocation."""
    await audit.run()
    leaves = audit.lab.leaves_[:-2]
    if rewritten:
        leaves[-1] = audit.lab.leaves_[-1]
    audit.lab.leaves_, audit.lab.tree = leaves, Tree(map(leaf_hash, leaves))
    with pytest.raises(LogRollback):
        await audit.cosigner.cosign()

    found = verdict(audit)
    assert found.blamed == ({("lab", "LOG_EQUIVOCATION")} if rewritten else frozenset())
    assert found.inconclusive is not rewritten


async def test_a_log_that_does_not_resume_is_kept_as_evidence(audit: Audit) -> None:
    """T065."""
    await audit.run()
    leaves = audit.lab.leaves_[:-2]
    leaves[0] = audit.lab.leaves_[1]
    audit.lab.leaves_, audit.lab.tree = leaves, Tree(map(leaf_hash, leaves))
    with pytest.raises(LogRollback):
        await audit.cosigner.resume("lane")

    assert verdict(audit).blamed == {("lab", "LOG_EQUIVOCATION")}


async def test_a_lab_that_never_promises_leaves_a_claim_that_stays_open(audit: Audit) -> None:
    """T053."""
    for at in range(1, 200):
        audit.lab.lose("intent", at=at)
    with pytest.raises(LabUnreachable):
        await audit.run(lanes=1)

    found = verdict(audit)
    assert [(item.outcome, item.reason) for item in found.findings] == [("inconclusive", "UNANSWERED")]
    assert found.exit_code == 70


async def test_a_promise_that_is_never_kept_is_in_the_case(audit: Audit) -> None:
    """T055."""
    for at in range(1, 200):
        audit.lab.lose("record", at=at)
        audit.lab.lose("frame", at=at)
    with pytest.raises(PromiseUnfulfilled):
        await audit.run(lanes=1)

    found = verdict(audit)
    assert [(item.outcome, item.reason) for item in found.findings] == [("inconclusive", "PROMISE_UNFULFILLED")]
    assert "word against word" in found.findings[0].sentence


@pytest.mark.parametrize(
    "fault", ["promise_wrong_key", "promise_other_intent", "promise_other_model", "meter", "index_gap"]
)
async def test_whatever_the_lab_gets_wrong_the_case_can_be_judged(audit: Audit, fault: str) -> None:
    audit.lab.misbehave(fault, at=2)
    with pytest.raises(SafeconductError):
        await audit.run(lanes=1)
    verdict(audit)
