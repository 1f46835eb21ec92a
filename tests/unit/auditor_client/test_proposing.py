"""Coming to an agreement, with labs that offer one thing and sign another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attestations.errors import (
    AgreementDigestMismatch,
    PeerBindingMismatch,
    PolicyUnsatisfiable,
    SignerRoleMismatch,
    TermsRefused,
)
from attestations.identity import Identity
from attestations.negotiation.ledger import parse_kept
from attestations.policy.model import Policy, Rule
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.proposing import Proposal, open_engagement, propose
from tests.support.audit_world import AUDITOR, LAB, TestClock, World, auditor_keys
from tests.support.simulated_lab import SimulatedLab


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(tmp_path / "journal.sqlite") as opened:
        yield opened


def _proposal(world: World) -> Proposal:
    agreement = world.agreement()
    return Proposal(
        engagement="audit-1",
        lab=Identity(role="lab", id=LAB, keys=agreement.party("lab").keys),
        auditor=Identity(role="auditor", id=AUDITOR, keys=agreement.party("auditor").keys),
        recipients=[],
        auditor_tls="44" * 32,
        lab_tls="33" * 32,
    )


async def _propose(world: World, lab: SimulatedLab, journal: SqliteJournal, proposal: Proposal | None = None) -> str:
    engagement = await propose(
        proposal or _proposal(world), lab=lab, journal=journal, keys=world.auditor, clock=lab.clock
    )
    assert engagement is not None
    return engagement.digest


async def test_both_sides_end_with_the_same_agreement(journal: SqliteJournal) -> None:
    world = World()
    lab = SimulatedLab(world, TestClock())

    digest = await _propose(world, lab, journal)

    assert lab.engagement.digest == digest
    assert digest == await _propose(world, lab, journal)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("sign_another_agreement", AgreementDigestMismatch), ("terms_for_another", PeerBindingMismatch)],
)
async def test_a_lab_that_signs_something_else_is_named(
    journal: SqliteJournal, fault: str, error: type[Exception]
) -> None:
    world = World()
    lab = SimulatedLab(world, TestClock())
    lab.misbehave(fault)

    with pytest.raises(error):
        await _propose(world, lab, journal)
    assert journal.recall("agreement") is None


async def test_terms_that_pin_another_gateway_are_refused(journal: SqliteJournal) -> None:
    world = World()
    proposal = replace(_proposal(world), lab_tls="66" * 32)

    with pytest.raises(PeerBindingMismatch):
        await _propose(world, SimulatedLab(world, TestClock()), journal, proposal)


async def test_a_policy_with_an_endless_veto_is_not_offered(journal: SqliteJournal) -> None:
    veto = Rule.model_validate({"id": "veto", "class": "C2", "to": "REGULATOR", "permit": "LAB_CONSENT(C2)"})
    world = World(rules=Policy(rules=(veto,)))

    with pytest.raises(PolicyUnsatisfiable):
        await _propose(world, SimulatedLab(world, TestClock()), journal)


async def test_an_answer_lost_on_the_way_is_asked_for_with_the_same_offer(journal: SqliteJournal) -> None:
    world = World()
    lab = SimulatedLab(world, TestClock())
    lab.misbehave("sign_another_agreement", at=1)
    with pytest.raises(AgreementDigestMismatch):
        await _propose(world, lab, journal)
    first = journal.recall("negotiation/audit-1/000000")
    assert first is not None

    await _propose(world, lab, journal)

    kept = [parse_kept(journal.recall(name) or b"") for name in journal.names("negotiation/audit-1/")]
    assert kept[0] == parse_kept(first)
    assert [entry.by for entry in kept] == ["auditor", "lab", "auditor"]


def test_an_agreement_with_other_keys_of_ours_is_refused() -> None:
    world = World()

    with pytest.raises(SignerRoleMismatch):
        open_engagement(world.engagement().envelope.to_bytes(), auditor_keys())


async def test_terms_that_are_only_of_the_past_are_not_offered_for(journal: SqliteJournal) -> None:
    world, clock = World(), TestClock()
    clock.at = datetime(2026, 12, 25, tzinfo=UTC)
    lab = SimulatedLab(world, clock)
    with pytest.raises(TermsRefused, match="access ended at 2026-12-24"):
        await propose(_proposal(world), lab=lab, journal=journal, keys=world.auditor, clock=clock)
