"""The page of a release log says of each release and each obligation what the verifier says, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from attestations.commands.rendering import _sightings
from attestations.container import Container
from attestations.errors import ExitCode
from attestations.rendering.release_view import ReleaseView, release_view
from attestations.trust import Trust
from attestations.verify import disclosure, parties, transcript
from attestations.verify.engine import Request, verify_evidence
from tests.support import world_agreement, world_escrow
from tests.support.escrow_story import ALL, silent
from tests.support.world import World
from tests.support.world_escrow import DUE, REGULATOR
from tests.support.world_revisions import with_rule
from tests.unit.attestations.verify.test_amendments import RUN, day
from tests.unit.attestations.verify.test_hard_paths import C1, aborted
from tests.unit.attestations.verify.test_release_times import C2_R, C5_R, DUE_C2, PERMITTED_C5, moved, stale

BEGUN: list[Any] = [*RUN, day(4), ("grade",), ("seal",), ("deliver",), day(5)]
TO_S3: list[Any] = [("release", stage, name, "REGULATOR") for stage, name in (("S1", "C1"), ("S2", "C2"), ("S3", "C3"))]


def seen(
    world: World, stage: str, at: datetime | None = None, *, trust: Trust | None = None, escrow: Any = ()
) -> tuple[ReleaseView, ExitCode]:
    """What the page shows of a file, and the code the verifier ends with."""
    trust = trust or world.trust or world_agreement.trust()
    container = Container(BytesIO(world.evidence(stage)))
    report = verify_evidence(container, trust, Request(at=at, escrow=tuple(escrow)))
    agreed = parties.open_agreement(container, trust)
    log = transcript.read_log(container.lines("log.jsonl"), agreed)
    now = disclosure.present(log, at, agreed.agreement.timing.skew_seconds)
    return release_view(log, report, now, _sightings(container, agreed, log)), report.exit_code


def verdicts(view: ReleaseView) -> dict[tuple[str, str], str]:
    return {(row.what.rpartition("(")[2].rstrip(")"), row.who): row.verdict for row in view.releases}


def duties(view: ReleaseView) -> dict[tuple[str, str], str]:
    return {(row.what.rpartition("(")[2].rstrip(")"), row.who): row.state for row in view.duties}


def test_an_honest_audit_is_shown_without_a_blemish() -> None:
    view, code = seen(World(), "S5")
    assert code is ExitCode.OK
    assert set(verdicts(view).values()) == {"permitted"}
    assert "bad" not in {row.tone for row in view.releases} | {row.tone for row in view.duties}
    assert all(row.when.startswith("not before ") and "; seen by " in row.when for row in view.releases)


def test_what_an_amendment_permits_is_not_called_early() -> None:
    """Each release is held to the agreement in force at its leaf, as by the verifier."""
    sooner = [("amend", with_rule(name, permit="DELIVERED + P5BD")) for name in ("c5-regulator", "c6-regulator")]
    opened = [("release", "S4", name, "REGULATOR") for name in ("C5", "C6")]
    view, code = seen(World(steps=[*BEGUN, *TO_S3, day(12), *sooner, *opened]), "S4")
    assert code is ExitCode.OK
    assert view.amended == 2
    assert set(verdicts(view).values()) == {"permitted"}
    assert [row.amended for row in view.releases] == [False, False, False, True, True]
    # Their formula would have held on 11 November; what permits them is in force since the 12th.
    assert {row.since for row in view.releases if row.amended} == {"12 November 2026, 09:00 UTC"}


def test_an_amendment_takes_no_time_from_what_was_permitted_before() -> None:
    untouched = ("amend", with_rule("c8-regulator", permit="DELIVERED + P11BD"))
    later = [("release", stage, name, "REGULATOR") for stage, name in (("S1", "C1"), ("S2", "C2"))]
    view, code = seen(World(steps=[*BEGUN, untouched, *later]), "S2")
    assert code is ExitCode.OK
    assert [row.since for row in view.releases if row.amended][1].startswith("4 November 2026")


def test_what_escrow_holders_opened_is_not_shown_as_owed() -> None:
    opened = [world_escrow.opened(silent(), REGULATOR, "t1")]
    view, code = seen(silent(), "S1", DUE, escrow=opened, trust=ALL)
    assert code is ExitCode.OK
    assert [(row.holders, row.why) for row in view.escrowed] == [("regulator.example, t1", "it was overdue")]
    assert duties(view)["C2", "The regulator"].startswith("opened by escrow holders on 12 November 2026")
    assert duties(seen(silent(), "S1", DUE, trust=ALL)[0])["C2", "The regulator"] == "overdue"


def test_what_an_amendment_makes_due_sooner_is_called_overdue() -> None:
    """What is owed is held to the agreement in force at the end."""
    sooner = ("amend", with_rule("c3-regulator", oblige="DELIVERED + P1BD"))
    steps = [*BEGUN[:-1], ("release", "S1", "C1", "REGULATOR"), sooner, day(6), ("release", "S2", "C2", "REGULATOR")]
    view, code = seen(World(steps=steps), "S2")
    assert code is ExitCode.DISCLOSURE_OVERDUE
    assert duties(view)["C3", "The regulator"] == "overdue"


@pytest.mark.parametrize(
    ("seconds", "verdict", "code"),
    [
        (-60, "before it was permitted", ExitCode.DISCLOSURE_BREACH),
        (1, "unsure: within the clock skew", ExitCode.INDETERMINATE),
        (15, "permitted", ExitCode.OK),
    ],
)
def test_a_release_is_early_when_the_verifier_says_so(seconds: int, verdict: str, code: ExitCode) -> None:
    """T091: not before the checkpoint that it rests on."""
    view, found = seen(moved(C5_R, PERMITTED_C5 + timedelta(seconds=seconds)), "S4")
    assert (verdicts(view)["C5", "The regulator"], found) == (verdict, code)


def test_a_release_on_an_old_checkpoint_is_early_though_the_lab_logged_it_later() -> None:
    """T091: the lab's time of the leaf alone would call it permitted."""
    world = World()
    world.hooks.alter["release:C5:REGULATOR"] = stale(world, PERMITTED_C5 - timedelta(days=3))
    view, code = seen(world, "S4")
    assert code is ExitCode.DISCLOSURE_BREACH
    assert verdicts(view)["C5", "The regulator"] == "before it was permitted"


def test_a_release_without_a_cosigned_time_is_neither_early_nor_in_time() -> None:
    """T091."""
    world = World()
    world.hooks.alter["release:C5:REGULATOR"] = lambda release: release.model_copy(
        update={"after": "".join(release.after.splitlines(keepends=True)[:5])}
    )
    view, code = seen(world, "S4")
    assert code is ExitCode.INDETERMINATE
    assert verdicts(view)["C5", "The regulator"] == "unsure: nothing cosigned shows when"


def test_a_late_release_is_called_late_whatever_it_says_itself() -> None:
    """T091: said to be in time, first cosigned after the deadline."""
    view, code = seen(moved(C2_R, DUE_C2 + timedelta(days=1), released_at="2026-11-06T09:00:00Z"), "S2")
    assert code is ExitCode.DISCLOSURE_OVERDUE
    assert verdicts(view)["C2", "The regulator"] == "permitted, but late"
    assert duties(view)["C2", "The regulator"].endswith(", late")


def test_an_engagement_given_up_owes_its_commitments_alone() -> None:
    """T110."""
    late = datetime(2027, 11, 18, tzinfo=UTC)
    view, _ = seen(aborted(*C1), "S1", late)
    states = duties(view)
    assert states["C1", "The public"] == "overdue"
    assert states["C1", "The regulator"].startswith("given on ")
    rest = {state for (name, _), state in states.items() if name != "C1"}
    assert rest == {"not owed: the engagement was given up"}
