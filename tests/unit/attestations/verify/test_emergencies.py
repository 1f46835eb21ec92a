"""Emergencies, judged from the log alone: by the signed policy, or by what holds without a section in it."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.errors import (
    AttributionFailed,
    EmergencyQuorumUnmet,
    EmergencyScopeExceeded,
    MalformedEnvelope,
)
from attestations.policy.model import Policy
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World
from tests.support.world_agreement import keys
from tests.support.world_hard import BIO, C3_R, EMERGENCY, after, emergency, hard_world, office, policy
from tests.support.world_views import all_but


def test_a_notice_to_lab_and_regulator_needs_nobody_else() -> None:
    """T106: no gag."""
    for signer in (keys().agreement, keys().lab_agreement, office()):
        assert_holds(after(hard_world(), ("deliver",), ("state", EMERGENCY, signer)).verify("S1"))


def test_a_wider_emergency_release_by_one_key_is_refused_and_the_notice_stands() -> None:
    """T106."""
    wide = emergency(BIO, id="emergency-2")
    world = after(hard_world(), ("deliver",), ("state", EMERGENCY, keys().agreement), ("state", wide, keys().agreement))
    assert_refused(world.verify("S1"), EmergencyQuorumUnmet, 50)
    ledger = world.log.ledger
    assert ledger is not None
    assert [notice.id for notice in ledger.notices] == ["emergency-1"]


@pytest.mark.parametrize(
    "notice",
    [
        emergency("PUBLIC"),
        emergency("LAB_ALL"),
        emergency(BIO, items=()),
        emergency(BIO, expires_at=None),
        emergency(BIO, expires_at="2026-11-01T00:00:00Z"),
        emergency(BIO, items=(("C5", 3),)),
        emergency("PEER_AUDITOR"),
    ],
)
def test_an_emergency_never_reaches_further_than_agreed(notice: Any) -> None:
    """T107: not even two keys make it public."""
    world = after(hard_world(), ("deliver",), ("state", notice, keys().agreement, office()))
    assert_refused(world.verify("S1"), EmergencyScopeExceeded, 50)


BIO_TOO = ["LAB_SAFETY", "REGULATOR", BIO]
SECTION = {
    "initiators": ["AUDITOR", "REGULATOR"],
    "twoKey": ["LAB_SAFETY", "REGULATOR"],
    "classes": ["C4", "C7:subset"],
    "to": ["LAB_SAFETY", "REGULATOR"],
    "review": "P10BD",
}


def _under(section: dict[str, Any], notice: Any, *signers: Any) -> Any:
    world = hard_world(policy(emergency=SECTION | section))
    return after(world, ("deliver",), ("state", notice, *signers)).verify("S1")


def test_the_signed_policy_says_who_may_raise_an_emergency() -> None:
    """T106: not the lab here; and another hand beside an initiator's does no harm."""
    lab, auditor = keys().lab_agreement, keys().agreement
    assert_refused(_under({}, EMERGENCY, lab), AttributionFailed, 30)
    for signers in ((auditor,), (office(),), (auditor, lab)):
        assert_holds(_under({}, EMERGENCY, *signers))


def test_the_signed_policy_says_what_one_key_may_show() -> None:
    """T106: the alarm itself is always free, the items are of the agreed classes."""
    tasks = emergency("REGULATOR", items=(("C5", 3),))
    assert_refused(_under({}, tasks, keys().agreement), EmergencyScopeExceeded, 50)
    assert_refused(_under({}, tasks, keys().lab_agreement, office()), EmergencyScopeExceeded, 50)
    assert_holds(_under({}, emergency("REGULATOR", "LAB_SAFETY", items=(), expires_at=None), keys().agreement))
    assert_holds(_under({"classes": ["C5"]}, tasks, keys().agreement))


def test_the_signed_policy_says_whom_one_key_may_tell() -> None:
    """T106: whom `to` names hears at once; whom it does not name waits for the other key."""
    assert_refused(_under({}, emergency(BIO), keys().agreement), EmergencyQuorumUnmet, 50)
    assert_holds(_under({"to": BIO_TOO}, emergency(BIO), keys().agreement))


def test_the_signed_policy_says_whose_two_keys_let_others_know() -> None:
    """T106: here lab and regulator, not the auditor."""
    lab, auditor = keys().lab_agreement, keys().agreement
    assert_refused(_under({}, emergency(BIO), auditor, office()), EmergencyQuorumUnmet, 50)
    assert_holds(_under({}, emergency(BIO), lab, office()))


def test_without_two_keys_nobody_else_is_told() -> None:
    """T107: not even by everybody together."""
    alone = policy(emergency=SECTION | {"twoKey": []})
    kept = [rule.json_value() for rule in alone.rules if rule.to != BIO]
    world = hard_world(validated(Policy, alone.json_value() | {"rules": kept}))
    everybody = (keys().agreement, keys().lab_agreement, office())
    after(world, ("deliver",), ("state", emergency(BIO, items=()), *everybody))
    assert_refused(world.verify("S1"), EmergencyScopeExceeded, 50)


def test_a_wide_emergency_is_never_public_whatever_the_policy_names() -> None:
    """T107: the linter refuses such a policy, and the statement counts for nothing under any."""
    both = (keys().agreement, office())
    assert_refused(_under({}, emergency("PUBLIC"), *both), EmergencyScopeExceeded, 50)
    assert_refused(_under({}, emergency("LAB_ALL"), *both), EmergencyScopeExceeded, 50)
    assert_refused(_under({"to": [*BIO_TOO, "PUBLIC"]}, emergency("PUBLIC"), *both), MalformedEnvelope, 10)


def _emergency_world(*release: Any) -> World:
    world = hard_world()
    after(world, C3_R, ("state", emergency(BIO), keys().agreement, office()), release)
    world.only = ("C7",)
    return world


def test_two_keys_release_the_named_items_to_cleared_recipients() -> None:
    """T107: transcript 3, and holes for all the others."""
    world = _emergency_world("release", "S5", "C7", BIO, all_but(3))
    report = world.verify("S5", BIO)
    assert_holds(report)
    assert report.redactions["C7"]["opened"] == 2
    assert report.redactions["C7"]["closed"][0]["reason"] == "NOT_IN_SCOPE"


def test_more_than_an_emergency_names_is_too_much() -> None:
    """T107."""
    assert_refused(
        _emergency_world("release", "S5", "C7", BIO, all_but(3, 4)).verify("S5", BIO), EmergencyScopeExceeded, 50
    )
    assert_refused(_emergency_world("release", "S5", "C7", BIO).verify("S5", BIO), EmergencyScopeExceeded, 50)
