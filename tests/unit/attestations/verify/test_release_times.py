"""When a release was made is what cosigned checkpoints say, not what either party's clock says (T091)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.errors import (
    CheckpointInvalid,
    DisclosureEarly,
    DisclosureOverdue,
    EvidenceMissing,
    LogEquivocation,
    MalformedEnvelope,
)
from tests.support import world_agreement
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import World
from tests.support.world_agreement import witness_signers
from tests.support.world_hard import after

PERMITTED_C5 = datetime(2026, 11, 18, 9, tzinfo=UTC)  # ten business days after the delivery
DUE_C2 = datetime(2026, 11, 11, 9, tzinfo=UTC)  # five business days after the delivery
C5_R = ("release", "S4", "C5", "REGULATOR")
C2_R = ("release", "S2", "C2", "REGULATOR")


def moved(step: tuple[Any, ...], moment: datetime, **changes: Any) -> World:
    """An audit in which one release is made at another time, with some of its fields changed."""
    world = World()
    place = world.steps.index(step)
    world.steps[place : place + 1] = [("until", moment), (*step, changes)]
    return world


def stale(world: World, at: datetime) -> Callable[[Any], Any]:
    """Let a release rest on a checkpoint cosigned at another time."""

    def change(release: Any) -> Any:
        log = world.log
        return release.model_copy(update={"after": log.checkpoint(log.size, log.root(), at)})

    return change


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-86400, 50), (-60, 50), (-12, 50), (1, 70), (4, 70), (15, 0)],
)
def test_the_embedded_checkpoint_is_the_lower_bound(seconds: int, expected: int) -> None:
    """T091, I4: early, undecided within the skew, in time."""
    report = moved(C5_R, PERMITTED_C5 + timedelta(seconds=seconds)).verify("S4")
    if expected == 0:
        assert_holds(report)
    else:
        assert_refused(report, DisclosureEarly if expected == 50 else EvidenceMissing, expected)


def test_a_release_that_rests_on_an_old_checkpoint_is_early() -> None:
    """T091: nothing shows that it was made after the permit time, though it was logged after it."""
    world = World()
    world.hooks.alter["release:C5:REGULATOR"] = stale(world, PERMITTED_C5 - timedelta(days=3))
    assert_refused(world.verify("S4"), DisclosureEarly, 50)


def test_a_checkpoint_dated_forward_proves_nothing() -> None:
    """T091: the auditor's own clock says it was permitted, the lab logged it the day before."""
    world = moved(C5_R, PERMITTED_C5 - timedelta(days=1))
    world.hooks.alter["release:C5:REGULATOR"] = stale(world, PERMITTED_C5 + timedelta(days=1))
    assert_refused(world.verify("S4"), DisclosureEarly, 50)


def test_a_checkpoint_without_a_cosignature_gives_no_time() -> None:
    """T091."""
    world = World()

    def bare(release: Any) -> Any:
        lines = release.after.splitlines(keepends=True)
        return release.model_copy(update={"after": "".join(lines[:5])})

    world.hooks.alter["release:C5:REGULATOR"] = bare
    report = world.verify("S4")
    assert_refused(report, EvidenceMissing, 70)


@pytest.mark.parametrize(("seconds", "expected"), [(-3600, 0), (2, 70), (60, 51)])
def test_the_first_checkpoint_that_holds_it_is_the_upper_bound(seconds: int, expected: int) -> None:
    """T091: it says it was released in time; whether it was, others saw."""
    claimed = "2026-11-06T09:00:00Z"
    report = moved(C2_R, DUE_C2 + timedelta(seconds=seconds), released_at=claimed).verify("S2")
    if expected == 0:
        assert_holds(report)
    else:
        assert_refused(report, DisclosureOverdue if expected == 51 else EvidenceMissing, expected)


def test_kept_checkpoints_show_for_ever_that_a_release_was_in_time() -> None:
    """T091: without them the next release, a year later, would be the first that shows it."""

    def forgotten(members: dict[str, bytes]) -> None:
        del members["checkpoints.jsonl"]

    assert_holds(World().verify("S4", "PUBLIC"))
    assert_refused(World().verify("S4", "PUBLIC", change=forgotten), DisclosureOverdue, 51)


def test_a_cosignature_dated_back_does_not_make_a_release_earlier_than_the_lab_logged_it() -> None:
    """T091."""
    world = moved(C2_R, DUE_C2 + timedelta(days=1), released_at="2026-11-06T09:00:00Z")
    world.build()
    log = world.log
    log.kept = [
        (size, log.checkpoint(size, log.roots[size], datetime(2026, 11, 6, 10, tzinfo=UTC))) for size, _ in log.kept
    ]
    assert_refused(world.verify("S2"), DisclosureOverdue, 51)


@pytest.mark.parametrize(
    ("edit", "error", "code"),
    [
        (lambda texts, log: [7], MalformedEnvelope, 10),
        (lambda texts, log: [log.checkpoint(log.size, b"\x07" * 32, log.now)], LogEquivocation, 32),
        (lambda texts, log: [log.checkpoint(99_999, b"\x07" * 32, log.now)], CheckpointInvalid, 31),
        (lambda texts, log: ["no checkpoint"], MalformedEnvelope, 10),
    ],
)
def test_a_kept_checkpoint_is_of_this_log(edit: Any, error: Any, code: int) -> None:
    world = World()

    def change(members: dict[str, bytes]) -> None:
        texts = [parse_canonical(line) for line in members["checkpoints.jsonl"].splitlines()]
        changed = edit(texts, world.log)
        members["checkpoints.jsonl"] = b"".join(canonical_bytes(text) + b"\n" for text in changed)

    report = world.verify("S4", "PUBLIC", change=change)
    assert report.exit_code == code, [(check.reason, check.detail) for check in report.checks if check.reason]
    assert error.__name__


def test_agreed_witnesses_give_the_times_and_not_the_auditor() -> None:
    """T091: the auditor's clock says a day later than both witnesses do."""
    signers = [(signer.key.party, signer) for signer in witness_signers()[:2]]
    witnesses = world_agreement.witnesses(2, *signers)
    world = World(agreement=world_agreement.agreement(witnesses=witnesses.json_value()), witnesses=signers)
    assert_holds(world.verify("S4"))

    unwitnessed = World(agreement=world_agreement.agreement(witnesses=witnesses.json_value()), witnesses=signers)
    after(unwitnessed, ("deliver",))
    unwitnessed.hooks.alter["release:C5:REGULATOR"] = lambda release: release.model_copy(
        update={"after": "".join(release.after.splitlines(keepends=True)[:6])}
    )
    assert_refused(unwitnessed.verify("S4"), EvidenceMissing, 70)
