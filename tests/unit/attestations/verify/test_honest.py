"""An honest audit holds at every stage and for every recipient, and says what a stage cannot show yet."""

from __future__ import annotations

import json
from functools import cache

import pytest

from attestations.commitments import padded_size
from attestations.errors import EvidenceMissing, ExitCode, RelyingPolicyUnmet
from attestations.verify.engine import Request
from tests.support import world_agreement
from tests.support.reports import assert_holds, assert_refused, statuses
from tests.support.world import STAGES, Exchange, World
from tests.support.world_agreement import witness_signers, witnesses
from tests.support.world_suite import make_tasks

SEALED_UNTIL = {11: "S4", 12: "S2", 13: "S2"}


@cache
def honest() -> World:
    return World(tasks=make_tasks(40, size=padded_size(40))).build()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_holds_for_the_regulator(stage: str) -> None:
    report = honest().verify(stage)
    assert_holds(report)
    assert (stage, "REGULATOR") == (report.stage, report.recipient)
    assert report.lab_acknowledged


@pytest.mark.parametrize("stage", STAGES[:4])
def test_every_public_stage_holds(stage: str) -> None:
    assert_holds(honest().verify(stage, "PUBLIC"))


@pytest.mark.parametrize("stage", STAGES)
def test_steps_wait_for_their_stage(stage: str) -> None:
    """T121: what is sealed is not at this stage, and not a failure."""
    found = statuses(honest().verify(stage))
    for step, opens in SEALED_UNTIL.items():
        assert ("notAtThisStage" in found[step]) == (stage < opens or (step == 12 and stage == "S2")), step
    assert set(range(18)) == set(found)


def test_a_later_stage_than_the_file_is_indeterminate() -> None:
    """T121: `--stage S5` of a file of S2."""
    assert_refused(honest().verify("S2", request=Request(stage="S5")), EvidenceMissing, 70)
    assert_holds(honest().verify("S2", request=Request(stage="S2")))


def test_the_levels_are_those_an_audit_at_ra0_gives() -> None:
    derived = honest().verify("S5").assurance
    assert derived is not None
    assert list(derived.model_dump().values()) == ["TS1", "MI0", "CO2", "PR1", "EL0", "GI3", "DE1"]


@pytest.mark.parametrize("requirement", ["CO>=2", "PR>=1", "DE>=1", "TS>=0"])
def test_a_level_that_is_reached_meets_its_requirement(requirement: str) -> None:
    assert_holds(honest().verify("S2", request=Request(require=(requirement,))))


@pytest.mark.parametrize("requirement", ["CO>=3", "MI>=1", "sandbagging"])
def test_a_requirement_that_is_not_met_has_its_own_code(requirement: str) -> None:
    """T120: nothing negative carries weight; what is required must be present."""
    for stage in ("S1", "S2"):  # the first says nothing of validity at all
        assert_refused(honest().verify(stage, request=Request(require=(requirement,))), RelyingPolicyUnmet, 61)


@pytest.mark.parametrize("requirement", ["CO3", "XX>=1", "CO>=9", "", "sandbagging>=1"])
def test_a_requirement_that_means_nothing_is_refused_before_the_file_is_read(requirement: str) -> None:
    with pytest.raises(ValueError, match="CO>=2"):
        Request(require=(requirement,))


def test_the_report_is_the_same_every_time() -> None:
    evidence = honest().evidence("S3")
    from tests.support.world import check

    assert json.dumps(check(evidence).to_json()) == json.dumps(check(evidence).to_json())


def test_every_limitation_of_ra0_is_printed() -> None:
    first, later = honest().verify("S1"), honest().verify("S5")
    assert any("RA0" in line for line in later.limitations)
    assert any("Sandbagging" in line for line in later.limitations)
    assert any("third party" in line for line in later.limitations)
    assert any("cannot be recomputed" in line for line in first.limitations)
    assert not any("cannot be re" in line for line in later.limitations)


def test_a_lab_that_does_not_acknowledge_cannot_block() -> None:
    """T123: the attestation stands on the auditor's signature and the lab's records."""
    report = honest().verify("S2", change=lambda members: members.pop("acknowledgement.dsse.json"))
    assert_holds(report)
    assert not report.lab_acknowledged


def test_less_access_than_agreed_is_said() -> None:
    """T081: the days are counted again, and what was agreed stands beside them."""
    agreement = world_agreement.agreement(
        access={"notBefore": "2026-11-02T12:00:00Z", "notAfter": "2026-12-24T00:00:00Z", "businessDays": "20"}
    )
    report = World(agreement=agreement).verify("S2")
    assert_holds(report)
    assert "The lab gave 0 business days of access of the 20 it had agreed to." in report.limitations


def test_witnesses_that_were_agreed_count_by_key() -> None:
    """T070: two distinct witnesses of three."""
    named = [(signer.key.party, signer) for signer in witness_signers()]
    agreement = world_agreement.agreement(witnesses=witnesses(2, *named).json_value())
    assert_holds(World(agreement=agreement, witnesses=named[:2]).verify("S1"))


def test_crashes_within_their_cap_are_asked_again_and_said() -> None:
    tasks = make_tasks(40)
    schedule = [Exchange(i, i % 4) for i in range(40)]
    schedule[5] = Exchange(5, 1, status="ABORTED_CRASH")
    schedule.append(Exchange(5, 0, attempt=1))
    report = World(tasks=tasks, exchanges=schedule).verify("S5")
    assert_holds(report)
    assert any("aborted by crashes" in line for line in report.limitations)


@pytest.mark.parametrize("status", ["REFUSED_POLICY", "ERROR", "TIMEOUT", "CANCELLED_BY_AUDITOR"])
def test_every_way_an_exchange_can_end_is_counted(status: str) -> None:
    schedule = [Exchange(i, i % 4) for i in range(40)]
    schedule[6] = Exchange(6, 2, status=status)
    report = World(exchanges=schedule).verify("S5")
    assert_holds(report)
    assert (report.counted[status], report.counted["COMPLETED"]) == ("1", "39")


def test_several_epochs_hold() -> None:
    assert_holds(World(tasks=make_tasks(10), epochs=3).verify("S5"))


def test_a_late_release_holds_once_it_is_made() -> None:
    """T092: before, the file is overdue; after it, late but released."""
    assert honest().verify("S5", "REGULATOR", request=Request()).exit_code is ExitCode.OK
