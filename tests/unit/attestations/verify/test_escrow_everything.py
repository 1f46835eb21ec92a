"""Every class is owed and none was released: what escrow opens is checked exactly as if the auditor had released it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.errors import ReleasedContentMismatch, ScoreMismatch
from attestations.escrow.released import EscrowRelease
from attestations.policy.model import Policy
from attestations.verify.engine import Request
from attestations.verify.report import Report, Status
from attestations.verify.steps import Step
from tests.support import world_escrow
from tests.support.escrow_story import ALL, made
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World, check
from tests.support.world_escrow import REGULATOR, opened
from tests.support.world_log import Hooks

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
SEALED = ("C2", "C3", "C5", "C6", "C7", "C8")


def policy() -> Policy:
    rules = [
        {"id": f"{name.lower()}-regulator", "class": name, "to": "REGULATOR", "permit": "DELIVERED", "oblige": oblige}
        for name, oblige in (("C1", None), *((name, "DELIVERED + P10D") for name in SEALED))
    ]
    return validated(Policy, {"rules": rules})


@cache
def silent() -> World:
    return made(agreement=world_escrow.agreement(policy=policy()))


def releases(world: World, names: Sequence[str]) -> tuple[EscrowRelease, ...]:
    return tuple(opened(world, REGULATOR, "t2", content_class=name, at=AT) for name in names)


def verified(*names: str, world: World | None = None) -> Report:
    world = world or silent()
    return check(world.evidence("S1"), trust=ALL, request=Request(at=AT, escrow=releases(world, names)))


def statuses(report: Report, step: Step) -> set[Status]:
    return {item.status for item in report.checks if item.step == step}


def test_all_of_it_is_opened_graded_again_and_nothing_is_owed() -> None:
    report = verified(*SEALED)

    assert_holds(report)
    details = [item.detail for item in report.checks]
    assert any("graded again" in detail for detail in details)
    assert any("every exchange belongs to one of them" in detail for detail in details)
    assert len(report.figures) > 1
    assert report.exit_code == 0


@pytest.mark.parametrize("names", [("C7",), ("C3",), ("C5",), ("C2", "C7"), ("C5", "C6"), ("C8",)])
def test_any_part_of_it_may_be_opened_and_the_rest_stays_owed(names: tuple[str, ...]) -> None:
    report = verified(*names)

    assert {item.reason for item in report.checks if item.reason} == {"DISCLOSURE_OVERDUE"}
    assert report.exit_code == 51
    assert Status.MISSING not in {item.status for item in report.checks}
    if "C5" not in names:
        assert statuses(report, Step.SCHEDULE) == {Status.NOT_AT_THIS_STAGE}


def test_figures_sealed_against_the_grades_are_found_when_escrow_opens_both() -> None:
    """The auditor never published them: it sealed figures that do not follow, and hoped nobody would open them."""

    def better(results: Any) -> Any:
        first, *rest = results
        return (first.model_copy(update={"value": "0.0000"}), *rest)

    world = made(agreement=world_escrow.agreement(policy=policy()), hooks=Hooks(alter={"results": better}))

    assert_refused(verified(*SEALED, world=world), ScoreMismatch, 41)


def test_transcripts_that_were_never_signed_are_found_when_escrow_opens_them() -> None:
    def other(chunks: list[bytes]) -> list[bytes]:
        return [chunks[1], *chunks[1:]]

    world = made(agreement=world_escrow.agreement(policy=policy()), hooks=Hooks(alter={"chunks:C7": other}))

    assert_refused(verified(*SEALED, world=world), ReleasedContentMismatch, 30)
