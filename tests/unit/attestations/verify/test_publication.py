"""An identity-based signature beside the evidence: its own line in the report, never a level, never needed."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from typing import Any

from attestations.bundle import parse_bundle
from attestations.container import Container
from attestations.errors import (
    AttributionFailed,
    ExitCode,
    KeylessIdentityMismatch,
    KeylessSignatureInvalid,
    SafeconductError,
)
from attestations.verify.engine import Publication, Request
from attestations.verify.report import Report
from attestations.verify.steps import Step
from tests.support.reports import assert_holds, assert_refused, statuses
from tests.support.world import World, check
from tests.support.world_suite import make_tasks

WHO, ISSUER = "press@auditor.example", "https://issuer.example"


@cache
def evidence(stage: str = "S3") -> bytes:
    return honest().evidence(stage)


@cache
def honest() -> World:
    return World(tasks=make_tasks(20, size=24)).build()


def attested(stage: str = "S3") -> bytes:
    return parse_bundle(Container(BytesIO(evidence(stage))).read("attestation.sigstore.json", limit=1 << 20)).payload


def verified(payload: bytes | SafeconductError, data: bytes | None = None) -> Report:
    def opened() -> bytes:
        if isinstance(payload, SafeconductError):
            raise payload
        return payload

    return check(data or evidence(), request=Request(publication=Publication(WHO, ISSUER, opened)))


def without_publication(report: Report) -> dict[str, Any]:
    """Return a report as JSON without its line and its sentence on the publication."""
    value = report.to_json()
    value["checks"] = [item for item in value["checks"] if item["step"] != Step.PUBLICATION]
    value["limitations"] = [line for line in value["limitations"] if "identity-based" not in line]
    return value


def test_a_signature_over_the_attestation_has_a_line_and_a_limitation() -> None:
    report = verified(attested())

    assert_holds(report)
    assert {"pass"} == statuses(report)[Step.PUBLICATION]
    assert WHO in json.dumps(report.to_json())
    assert any("who published" in line for line in report.limitations)


def test_it_raises_no_level_and_changes_nothing_else() -> None:
    plain, published = check(evidence()), verified(attested())

    assert plain.assurance == published.assurance
    assert plain.to_json() == without_publication(published)


def test_without_one_the_report_says_nothing_of_it() -> None:
    assert Step.PUBLICATION not in statuses(check(evidence()))
    assert Step.PUBLICATION not in statuses(check(b"no evidence"))


def test_a_signature_over_another_attestation_is_refused() -> None:
    assert_refused(verified(attested("S2")), AttributionFailed, 30)


def test_one_byte_more_is_another_attestation() -> None:
    assert_refused(verified(attested() + b"\n"), AttributionFailed, 30)


def test_a_signature_that_does_not_hold_fails_the_report_with_its_own_code() -> None:
    assert_refused(verified(KeylessSignatureInvalid("no")), KeylessSignatureInvalid, 20)
    assert_refused(verified(KeylessIdentityMismatch("no")), KeylessIdentityMismatch, 21)


def test_it_does_not_mend_evidence_that_does_not_hold() -> None:
    data = bytearray(evidence())
    data[len(data) // 2] ^= 1

    report = verified(attested(), bytes(data))

    assert {"pass"} == statuses(report)[Step.PUBLICATION]
    assert check(bytes(data)).exit_code == report.exit_code != ExitCode.OK


def test_without_an_attestation_to_compare_it_is_missing() -> None:
    report = verified(attested(), b"no evidence at all")

    assert {"missing"} == statuses(report)[Step.PUBLICATION]
    assert report.exit_code is ExitCode.MALFORMED
    assert report.attestation is None
