"""Terms that could gag, leak or strand are refused by whoever is asked to sign them, over a real connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from attestations.errors import PolicyUnsatisfiable
from auditor_client.home import _certificate
from auditor_client.journal.sqlite import SqliteJournal
from auditor_client.proposing import propose
from auditor_client.transport.channel import Credentials, open_channel
from auditor_client.transport.lab import GrpcLab
from tests.integration.gateway import audited
from tests.support.audit_world import START, TestClock, World
from tests.support.bad_policies import BAD_TERMS, BadTerms
from tests.support.lab_over_grpc import served
from tests.support.simulated_lab import SimulatedLab
from tests.support.small_auditor import outcome
from tests.unit.auditor_client.test_proposing import _proposal

LAB_KEY, LAB_CERTIFICATE = _certificate("lab.example", START)
OUR_KEY, OUR_CERTIFICATE = _certificate("auditor.example", START)


async def test_a_lab_refuses_an_offer_that_breaks_a_rule_of_the_linter(tmp_path: Path) -> None:
    """T022, T023, T024, T025, T026, T030: offered by the auditor, refused by the gateway before it signs."""
    async with audited(tmp_path) as (_, auditor):
        terms = await auditor.terms()
        for number, bad in enumerate(BAD_TERMS):
            body = auditor.proposal(terms, f"audit-bad-{number}", policy=bad.policy, clauses=bad.clauses)
            error = await outcome(auditor.send_offer(auditor.offer(body)))
            assert error is not None, bad.case
            assert (error.reason, error.facts["rule"]) == ("POLICY_UNSATISFIABLE", bad.rule), bad.case
        good = auditor.offer(auditor.proposal(terms, "audit-good"))
        assert (await auditor.send_offer(good)).signatures


@pytest.mark.parametrize("bad", BAD_TERMS, ids=lambda bad: bad.case)
async def test_an_auditor_offers_nothing_on_terms_that_break_a_rule(bad: BadTerms, tmp_path: Path) -> None:
    """T022, T023, T024, T025, T026, T030: the lab's terms, refused by the auditor before it signs."""
    world = World(rules=bad.policy, clauses=bad.clauses)
    lab = SimulatedLab(world, TestClock())
    credentials = Credentials(OUR_KEY, OUR_CERTIFICATE, LAB_CERTIFICATE)
    async with (
        served(lab, key=LAB_KEY, certificate=LAB_CERTIFICATE, clients=OUR_CERTIFICATE) as address,
        SqliteJournal(tmp_path / "journal.sqlite") as journal,
    ):
        over = GrpcLab(open_channel(address, credentials), call_seconds=5)
        with pytest.raises(PolicyUnsatisfiable) as caught:
            await propose(_proposal(world), lab=over, journal=journal, keys=world.auditor, clock=lab.clock)
        assert journal.recall("agreement") is None
    assert caught.value.facts["rule"] == bad.rule
