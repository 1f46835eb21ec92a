"""T036: salts that others chose are 32 bytes and never used twice, wherever they come into the evidence."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.base import encode
from attestations.errors import WeakSalt
from tests.support.fixed_keys import secret
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Exchange, Hooks, World
from tests.support.world_suite import make_tasks, plan


@pytest.mark.parametrize("field", ["request_salt", "result_salt"])
@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_transcript_with_a_salt_of_another_length_is_refused(field: str, length: int) -> None:
    """T036."""

    def shorten(chunks: list[bytes]) -> list[bytes]:
        value = parse_canonical(chunks[3]) | {field: encode(bytes(length))}
        return [*chunks[:3], canonical_bytes(value), *chunks[4:]]

    world = World(hooks=Hooks(alter={"chunks:C7": shorten}))
    assert_holds(world.verify("S4"))
    assert_refused(world.verify("S5"), WeakSalt, 30)


@pytest.mark.parametrize(
    ("label", "reused"),
    [
        ("salt:5", "salt 2"),
        ("salt:5", "answer 2"),
        ("answer-salt:5", "salt 2"),
        ("answer-salt:5", "answer 2"),
        ("answer-salt:5", "salt 5"),
    ],
)
def test_a_salt_that_two_commitments_share_is_refused(label: str, reused: str) -> None:
    """T036: both were really committed to under it, so that equal requests would have looked equal to the lab."""
    world = World(hooks=Hooks(alter={label: lambda _: secret(reused)}))
    assert_holds(world.verify("S4"))
    assert_refused(world.verify("S5"), WeakSalt, 30)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_plan_whose_nonce_is_short_could_have_been_guessed(length: int) -> None:
    """T036: a plan has few degrees of freedom; the nonce alone hides it until S2."""
    tasks = make_tasks(40)
    world = World(tasks=tasks, plan=plan(tasks, nonce=encode(bytes(length))))
    assert_holds(world.verify("S1"))
    assert_refused(world.verify("S2"), WeakSalt, 30)


def test_the_salts_of_a_retried_item_are_its_own() -> None:
    """An item that is asked again is salted again: nothing weak is found where nothing is."""
    first: list[Any] = [Exchange(i, i % 4) for i in range(40)]
    first[3] = Exchange(3, 3, status="ERROR")
    assert_holds(World(exchanges=[*first, Exchange(3, 3, attempt=1)]).verify("S5"))
