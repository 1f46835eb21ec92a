"""Findings for remediation (C4): who may be given one and when, what it meets, and what its reader is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import pytest

from attestations.documents.base import encode
from attestations.documents.finding import FindingNotice, FlawReport
from attestations.envelope import Envelope, sign_document
from attestations.errors import (
    AttributionFailed,
    CommitmentMismatch,
    DisclosureEarly,
    DisclosureOverdue,
    PolicyUnsatisfiable,
    RecipientNotPermitted,
    SafeconductError,
    SignatureInvalid,
)
from attestations.keys import Signer
from attestations.policy.lint import lint
from attestations.rendering.advisory import flaw_advisory
from attestations.verify.findings import Found, find_report
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World
from tests.support.world_agreement import keys
from tests.support.world_hard import after, agreement, hard_world, office, policy

C1_R, C2_OUT = ("release", "S1", "C1", "REGULATOR"), ("release", "S2", "C2", "PUBLIC")
SALT = encode(bytes(range(32)))
MINE: tuple[dict[str, Any], ...] = (
    {"id": "c4-lab", "class": "C4", "to": "LAB_SAFETY", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P5BD"},
    {"id": "c4-regulator", "class": "C4", "to": "REGULATOR", "permit": "DELIVERED", "oblige": None},
)


def world(*steps: tuple[Any, ...]) -> World:
    return after(hard_world(policy(*MINE)), C2_OUT, *steps)


def notice(*to: str, report: str | None = None, name: str = "F1") -> Callable[[str, str], FindingNotice]:
    return lambda digest, now: FindingNotice(agreement=digest, id=name, to=to, report=report, stated_at=now)


def given(*to: str, report: str | None = "ab" * 32, name: str = "F1") -> tuple[Any, ...]:
    return ("state", notice(*to, report=report, name=name), keys().publication)


def flaw(digest: str, *, signer: Signer | None = None, **changes: Any) -> Envelope:
    value = {"id": "F1", "variant": "deployed", "title": "a flaw", "severity": "high", "description": "more\x1b[2J"}
    report = FlawReport(
        agreement=digest,
        **{**value, "found_at": "2026-11-09T10:00:00Z", "salt": SALT, **changes},
    )
    return sign_document(report, signer or keys().publication)


def test_a_notice_meets_what_is_owed_with_a_report_or_without() -> None:
    """An obliged C4 is overdue until somebody is told, be it that there is nothing to report."""
    owed = hard_world(policy(*MINE)).verify("S5")
    assert_refused(owed, DisclosureOverdue, 51)
    assert {check.facts["content_class"] for check in owed.checks if check.reason is not None} == {"C4"}
    for step in (given("LAB_SAFETY"), given("LAB_SAFETY", report=None)):
        assert_holds(after(hard_world(policy(*MINE)), C1_R, step).verify("S5"))


def test_what_was_found_is_said_to_be_in_no_file() -> None:
    report = world(given("LAB_SAFETY", "REGULATOR"), given("LAB_SAFETY", report=None, name="none")).verify(
        "S3", "PUBLIC"
    )
    assert_holds(report)
    said = [line for line in report.limitations if "finding" in line]
    assert said[0].startswith("The auditor gave finding F1 for LAB_SAFETY, REGULATOR;")
    assert said[1].startswith("The auditor says that it has no finding for LAB_SAFETY;")


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([given("PUBLIC")], RecipientNotPermitted),
        ([given("LAB_SAFETY", "PEER_AUDITOR")], RecipientNotPermitted),
        ([given("LAB_SAFETY"), given("REGULATOR", report="cd" * 32)], AttributionFailed),
        ([("state", notice("LAB_SAFETY"), office())], SafeconductError),
    ],
    ids=["no rule", "no rule for one", "two reports of one name", "by the regulator"],
)
def test_a_notice_that_does_not_count_is_named(steps: list[tuple[Any, ...]], error: type[SafeconductError]) -> None:
    report = world(*steps).verify("S3", "PUBLIC")
    assert not report.holds
    if error is not SafeconductError:
        assert_refused(report, error)


def test_a_finding_given_before_its_time_is_early() -> None:
    waits = ({**MINE[0], "permit": "DELIVERED + P30BD", "oblige": None},)
    made = after(hard_world(policy(*waits)), C2_OUT, given("LAB_SAFETY"))
    assert_refused(made.verify("S3", "PUBLIC"), DisclosureEarly, 50)


def test_a_finding_meets_nothing_where_it_does_not_count() -> None:
    """Removing or breaking a notice never makes what is owed look met."""
    stranger = after(hard_world(policy(*MINE)), C1_R, given("LAB_SAFETY", "PUBLIC")).verify("S5")
    assert {check.reason for check in stranger.checks} >= {"RECIPIENT_NOT_PERMITTED", "DISCLOSURE_OVERDUE"}


def opened(build: Callable[[str], Envelope], *to: str) -> Found:
    digest = sign_document(agreement(policy(*MINE)), keys().agreement).digest
    report = build(digest)
    shown = flaw(digest)
    made = world(given(*to, report=shown.digest))
    assert made.trust is not None
    return find_report(BytesIO(made.evidence("S3", "PUBLIC")), made.trust, report.to_bytes())


def test_a_report_is_read_only_where_the_log_has_notice_of_it() -> None:
    found = opened(flaw, "LAB_SAFETY", "REGULATOR")
    assert (found.report.title, found.recipients) == ("a flaw", ("LAB_SAFETY", "REGULATOR"))
    assert "more" not in repr(found.report)
    changes: tuple[dict[str, Any], ...] = ({"title": "another"}, {"id": "F2"}, {"salt": encode(bytes(32))})
    for change in changes:
        with pytest.raises(CommitmentMismatch):
            opened(partial(flaw, **change), "LAB_SAFETY")
    with pytest.raises(SafeconductError) as refused:
        opened(lambda digest: flaw(digest, signer=office()), "LAB_SAFETY")
    assert refused.value.reason in (SignatureInvalid("").reason, "SIGNER_ROLE_MISMATCH")


def test_the_export_of_a_report_passes_the_standards_own_tests() -> None:
    csaf = pytest.importorskip("csaf")
    document = flaw_advisory(opened(flaw, "LAB_SAFETY"), namespace="https://auditor.example")
    report = csaf.validate(document)
    assert [(test.id, test.errors) for test in report.results if test.errors] == []
    assert document["document"]["distribution"]["tlp"]["label"] == "AMBER+STRICT"


def test_nothing_is_owed_that_nothing_can_release() -> None:
    """L12."""
    rule = {"id": "x", "class": "C10", "to": "REGULATOR", "permit": "RUN_CLOSED", "oblige": "RUN_CLOSED + P1D"}
    with pytest.raises(PolicyUnsatisfiable) as refused:
        lint(policy(rule, escrow="none", escrowReason="none"))
    assert refused.value.facts["rule"] == "L12"
