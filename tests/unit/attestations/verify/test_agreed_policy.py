"""An agreement both signed in spite of the linter is refused by the verifier, whoever made it."""

from __future__ import annotations

import pytest

from attestations.errors import MalformedEnvelope
from tests.support import world_agreement
from tests.support.bad_policies import BAD_TERMS, BadTerms
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World
from tests.support.world_suite import make_tasks


@pytest.mark.parametrize("bad", BAD_TERMS, ids=lambda bad: bad.case)
def test_what_breaks_a_rule_of_the_linter_is_no_agreement(bad: BadTerms) -> None:
    """T022, T023, T024, T025, T026, T030."""
    given = world_agreement.agreement(policy=bad.policy, clauses=bad.clauses.json_value())
    report = World(tasks=make_tasks(12), agreement=given).verify("S1")
    assert_refused(report, MalformedEnvelope, 10)
    found = [check for check in report.checks if check.reason == "MALFORMED_ENVELOPE"]
    assert [(check.step, check.facts["rule"]) for check in found] == [(3, bad.rule)]


def test_the_same_audit_on_the_standard_terms_holds() -> None:
    report = World(tasks=make_tasks(12)).verify("S1")
    assert_holds(report)
    assert any("nobody can release in its place" in line for line in report.limitations)
