"""What the signed policy lets an auditor's own program say in an emergency, and what amendments it cosigns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from attestations.documents.agreement import Agreement
from attestations.documents.base import validated
from attestations.envelope import sign_document
from attestations.errors import (
    AmendmentRetroactive,
    EmergencyScopeExceeded,
)
from attestations.policy.model import Policy
from auditor_client.grading_run import grade_all
from auditor_client.releasing import Wanted
from auditor_client.viewing import Source
from tests.support.audit_world import TestClock, World, suite, suite_key
from tests.support.simulated_lab import SimulatedLab
from tests.support.world_hard import BIO, others
from tests.unit.auditor_client.conftest import Audit
from tests.unit.auditor_client.test_hard_paths import closed, delivered, parsed, rules, speaker


async def test_our_own_program_refuses_a_notice_the_policy_does_not_let_us_give(tmp_path: Path) -> None:
    """T106, T107: before anything is signed or sent."""
    section = {
        "initiators": ["AUDITOR"],
        "classes": ["C7:subset"],
        "to": ["LAB_SAFETY", "REGULATOR", BIO],
        "review": "P10BD",
    }
    world, clock = World(rules=rules(emergency=section), others=others()), TestClock()
    audit = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    try:
        await closed(audit)
        graded = await grade_all(audit.suite, journal=audit.journal)
        source = Source(audit.suite, suite_key(), graded, audit.journal)
        with pytest.raises(EmergencyScopeExceeded):
            await speaker(audit).notify("e-1", "other", [("C5", 1)], (), "2026-12-24T00:00:00Z", source)
        assert audit.lab.shown == []
        made = await speaker(audit).notify("e-2", "other", [("C7", 2)], [BIO], "2026-12-24T00:00:00Z", source)
        assert parsed(made.notice).to == ("LAB_SAFETY", "REGULATOR", BIO)
        assert made.wider is None  # whom the policy lets us tell at once needs no second key
    finally:
        await audit.close()


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    """The audit of the hard paths."""
    world, clock = World(rules=rules(), others=others()), TestClock()
    opened = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    yield opened
    await opened.close()


def amended(audit: Audit, name: str, **fields: Any) -> Any:
    """What both sides signed, to be logged whenever the lab likes."""
    engagement = audit.world.engagement()
    value = engagement.agreement.policy.json_value()
    changed = [rule | fields if rule["id"] == name else rule for rule in value["rules"]]
    document = engagement.agreement.model_copy(
        update={"policy": validated(Policy, value | {"rules": changed}), "supersedes": engagement.digest}
    )
    return sign_document(document, audit.world.lab.agreement, audit.world.auditor.agreement)


async def test_an_amendment_logged_after_what_it_forbids_is_not_cosigned(audit: Audit) -> None:
    """T028: both signed it, the lab let the release come first."""
    await delivered(audit)
    late = amended(audit, "c2-r", permit="RUN_CLOSED + P60BD")
    await audit.releaser().release(Wanted("S1", "REGULATOR"))
    size = audit.mirror.size
    audit.lab.receipt("amendment", late)
    await audit.cosigner.cosign()
    assert audit.mirror.size == size + 1  # nothing it forbids had been released
    await audit.releaser().release(Wanted("S1", "PUBLIC"))
    await audit.releaser().release(Wanted("S2", "PUBLIC"))
    worse = sign_document(
        Agreement.parse(amended(audit, "c2-p", permit="RUN_CLOSED + P60BD").payload).model_copy(
            update={"supersedes": late.digest}
        ),
        audit.world.lab.agreement,
        audit.world.auditor.agreement,
    )
    size = audit.mirror.size
    audit.lab.receipt("amendment", worse)
    with pytest.raises(AmendmentRetroactive):
        await audit.cosigner.cosign()
    assert audit.mirror.size == size


async def test_an_amendment_logged_after_what_it_postpones_was_due_is_not_cosigned(tmp_path: Path) -> None:
    """T029."""
    value = rules().json_value()
    owed = [rule | {"oblige": "DELIVERED + P2BD"} if rule["id"] == "c3-r" else rule for rule in value["rules"]]
    world, clock = World(rules=validated(Policy, value | {"rules": owed}), others=others()), TestClock()
    audit = await Audit.at(tmp_path, world, clock, SimulatedLab(world, clock), suite())
    try:
        await delivered(audit)
        later = amended(audit, "c3-r", oblige="DELIVERED + P90BD")
        audit.clock.pass_(days=30)
        audit.lab.receipt("amendment", later)
        with pytest.raises(AmendmentRetroactive):
            await audit.cosigner.cosign()
    finally:
        await audit.close()
