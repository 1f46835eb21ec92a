"""What is released in part is no more than that: it ends no obligation and loosens no label of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from attestations.documents.base import validated
from attestations.documents.engagement import Release
from attestations.errors import DisclosureOverdue, ReleasedContentMismatch, TlpDowngrade
from attestations.policy.model import Policy
from attestations.verify.engine import Request
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.support.world_agreement import keys
from tests.support.world_hard import after, emergency, hard_world, policy
from tests.support.world_views import all_but, paths

DECEMBER = datetime(2026, 12, 4, 9, tzinfo=UTC)
C3_OUT = ("release", "S3", "C3", "PUBLIC")
C6_OUT = ("release", "S4", "C6", "PUBLIC")


def _instead(world: World, step: tuple[Any, ...], *closed: Any) -> World:
    world.steps[world.steps.index(step)] = (*step, *closed)
    return world


def test_a_view_that_opens_nothing_releases_nothing_that_is_owed() -> None:
    late = Request(at=datetime(2027, 1, 18, tzinfo=UTC))
    assert_refused(_instead(World(), C3_OUT, all_but()).verify("S3", "PUBLIC", request=late), DisclosureOverdue, 51)
    assert_holds(_instead(World(), C3_OUT, all_but(0)).verify("S3", "PUBLIC", request=late))


def test_the_items_of_an_emergency_are_not_the_class_that_is_owed() -> None:
    """Whoever owes transcripts must not be rid of them by showing one."""
    owed = {
        "id": "c7-regulator",
        "class": "C7",
        "to": "REGULATOR",
        "permit": {"or": ["EMERGENCY(*)", "DELIVERED + P10BD"]},
        "oblige": "DELIVERED + P20BD",
    }
    others = [rule.json_value() for rule in policy().rules if rule.id != owed["id"]]
    world = hard_world(validated(Policy, policy().json_value() | {"rules": [*others, owed]}))
    world.steps = [step for step in world.steps if step[:4] != ("release", "S5", "C7", "REGULATOR")]
    shown = ("release", "S5", "C7", "REGULATOR", all_but(3))
    after(world, ("release", "S3", "C3", "REGULATOR"), ("state", emergency("REGULATOR"), keys().agreement), shown)
    world.only = ("C7",)
    assert_holds(world.verify("S5", request=Request(at=datetime(2026, 11, 30, tzinfo=UTC))))
    overdue = world.verify("S5", request=Request(at=DECEMBER))
    assert_refused(overdue, DisclosureOverdue, 51)
    ledger = world.log.ledger
    assert ledger is not None
    assert [made.meets for made in ledger.releases.values() if made.document.content_class == "C7"] == [False]


def _labelled(*closed: Any) -> World:
    world = World()
    world.steps[-1:] = [(*C6_OUT, *closed), ("release", "S4", "C6", "REGULATOR", {"tlp": "CLEAR"})]
    return world


def test_what_is_public_in_part_does_not_make_the_rest_clear() -> None:
    """T097: one open field for everybody, and all the targets under a label that lets everybody have them."""
    assert_holds(_labelled().verify("S4"))
    assert_refused(_labelled(paths("target")).verify("S4"), TlpDowngrade, 50)


def test_a_view_for_everybody_is_clear_itself() -> None:
    world = World()
    world.steps[-1:] = [(*C6_OUT, paths("target"), {"tlp": "CLEAR"})]
    world.tlp = "CLEAR"
    assert_holds(world.verify("S4", "PUBLIC"))
    file_for_regulator = World(tlp="CLEAR", only=("C6",))
    file_for_regulator.steps[-1:] = [(*C6_OUT, paths("target"))]
    assert_refused(file_for_regulator.verify("S4"), TlpDowngrade, 50)


@pytest.mark.parametrize("counts", [{"opened": 10_000}, {"closed": 0}])
def test_the_counts_of_a_release_are_those_of_its_view(counts: dict[str, int]) -> None:
    """T097: pages and reports repeat them."""

    def change(release: Release) -> Release:
        assert release.view is not None
        return release.model_copy(update={"view": release.view.model_copy(update=counts)})

    world = World(hooks=Hooks(alter={"release:C6:PUBLIC": change}))
    world.steps[-1:] = [(*C6_OUT, paths("target"))]
    assert_refused(world.verify("S4", "PUBLIC"), ReleasedContentMismatch, 30)
