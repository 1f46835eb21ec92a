"""What is asked of a bank was drawn by both sides and not chosen by either."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from attestations.checkpoint import Checkpoint, cosign, sign_checkpoint
from attestations.documents.agreement import Agreement
from attestations.documents.base import encode
from attestations.documents.drawing import Draw
from attestations.documents.engagement import PreRegistration
from attestations.errors import (
    DecoyScored,
    MalformedEnvelope,
    SelectionNotReproducible,
    SignatureInvalid,
    UnaccountedTask,
    WeakSalt,
    WitnessQuorumUnmet,
)
from attestations.grades import GradeRow
from attestations.merkle import EMPTY_ROOT
from tests.support.fixed_keys import secret
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import AGREED_START, STAGES, Hooks, World
from tests.support.world_agreement import AUDITOR, agreement, keys, witness_signers, witnesses

DRAWN = 10
ORIGIN = "lab.example/safeconduct/audit-1"


def altered(name: str, change: Callable[[Any], Any]) -> World:
    return World(draw=DRAWN, hooks=Hooks(alter={name: change}))


def updated(name: str, **fields: Any) -> World:
    return altered(name, lambda document: document.model_copy(update=fields))


@pytest.mark.parametrize("stage", STAGES)
def test_an_audit_of_drawn_items_holds_at_every_stage(stage: str) -> None:
    report = World(draw=DRAWN).verify(stage)
    assert_holds(report)
    details = " ".join(check.detail for check in report.checks)
    assert "was drawn by both sides' shares" in details
    assert (stage >= "S4") == ("the 10 of 28 scored ones were drawn, not chosen" in details)


def test_a_draw_counts_from_its_registration_wherever_that_stands() -> None:
    """T041: an amendment may come first, and a beacon between the two is older than the commitments."""

    def more(before: Agreement) -> dict[str, Any]:
        return {"budget": before.budget.model_copy(update={"requests": "2000000"})}

    world = World(draw=DRAWN)
    world.steps.insert(0, ("amend", more))
    assert_holds(world.verify("S5"))
    early = World(draw=DRAWN)
    early.steps.insert(0, ("amend", more))
    root = World(draw=DRAWN, steps=list(early.steps)).build().log.roots[1]
    early.hooks.alter["beacon"] = lambda _: beacon(1, root)
    assert_refused(early.verify("S1"), SelectionNotReproducible, 40)


def test_an_audit_without_a_draw_says_nothing_of_one() -> None:
    report = World().verify("S5")
    assert_holds(report)
    assert "drawn" not in " ".join(check.detail for check in report.checks if check.step in (4, 11))


def test_another_choice_of_items_than_the_seed_gives_is_refused() -> None:
    """T040: the easy ones instead."""

    def choose(drawn: tuple[int, ...]) -> tuple[int, ...]:
        others = [task for task in range(40) if task % 10 < 7 and task not in drawn]
        return (*drawn[1:], others[0])

    world = altered("chosen", choose)
    assert_holds(world.verify("S3"))
    assert_refused(world.verify("S4"), SelectionNotReproducible, 40)


def test_a_share_chosen_after_the_commitment_is_refused() -> None:
    """T040: an auditor that tries shares until it likes the draw."""
    assert_refused(updated("draw", share=encode(secret("another"))).verify("S1"), SelectionNotReproducible, 40)


def test_a_share_that_the_lab_had_not_committed_to_is_refused() -> None:
    """T040, from the other side."""
    world = updated("receipt:draw", share=encode(secret("another")))
    assert_refused(world.verify("S1"), SelectionNotReproducible, 40)


def test_a_draw_whose_commitments_are_altered_is_refused() -> None:
    """T040."""

    def other(document: PreRegistration) -> PreRegistration:
        assert document.draw is not None
        rule = document.draw.model_copy(update={"share_commit": "ab" * 32})
        return document.model_copy(update={"draw": rule})

    assert_refused(altered("registration", other).verify("S1"), SelectionNotReproducible, 40)
    assert_refused(updated("receipt:registration", share_commit="ab" * 32).verify("S1"), SelectionNotReproducible, 40)
    assert_refused(updated("receipt:registration", share_commit=None).verify("S1"), SelectionNotReproducible, 40)
    assert_refused(updated("receipt:draw", share=None).verify("S1"), SelectionNotReproducible, 40)


def beacon(size: int, root: bytes, *, seconds: int = 0, origin: str = ORIGIN, by: Any = None) -> str:
    note = sign_checkpoint(Checkpoint(origin, size, root), keys().lab_log)
    at = AGREED_START + timedelta(seconds=seconds)
    return cosign(note, name=f"{AUDITOR}/cosign", signer=by or keys().cosign, at=at).to_text()


def first_root() -> bytes:
    return World(draw=DRAWN).build().log.roots[1]


@pytest.mark.parametrize(
    "made",
    [
        lambda: beacon(0, EMPTY_ROOT),
        lambda: beacon(1, first_root(), seconds=-60),
        lambda: beacon(1, bytes(32)),
        lambda: beacon(90, bytes(32)),
    ],
    ids=["before the registration", "dated before it", "of another log", "of a later log"],
)
def test_a_beacon_that_is_not_a_fresh_state_of_the_log_is_refused(made: Callable[[], str]) -> None:
    """T041: a beacon older than the commitments could have been known when they were made."""
    assert_refused(altered("beacon", lambda _: made()).verify("S1"), SelectionNotReproducible, 40)


def test_an_older_state_after_the_registration_is_fresh_enough() -> None:
    """T041, the other side of the edge: the checkpoint right after the registration holds both commitments."""
    report = altered("beacon", lambda _: beacon(1, first_root())).verify("S1")
    assert_holds(report)


def test_a_beacon_that_nobody_cosigned_is_refused() -> None:
    bare = sign_checkpoint(Checkpoint(ORIGIN, 1, first_root()), keys().lab_log).to_text()
    assert_refused(altered("beacon", lambda _: bare).verify("S1"), WitnessQuorumUnmet)
    forged = beacon(1, first_root(), by=keys().cosign).replace("cosign ", "cosign A", 1)
    assert_refused(altered("beacon", lambda _: forged).verify("S1"), MalformedEnvelope)


def test_witnesses_make_the_beacon_where_they_are_agreed() -> None:
    named = [(signer.key.party, signer) for signer in witness_signers()]
    agreed = agreement(witnesses=witnesses(2, *named).json_value())
    assert_holds(World(draw=DRAWN, agreement=agreed, witnesses=named).verify("S5"))
    alone = World(draw=DRAWN, agreement=agreed, witnesses=named)
    alone.hooks.alter["beacon"] = lambda _: beacon(1, first_root())
    assert_refused(alone.verify("S1"), SelectionNotReproducible)  # another agreement's log has another root
    few = World(draw=DRAWN, agreement=agreed, witnesses=named)
    few.hooks.alter["beacon"] = lambda note: "".join(
        line for line in note.splitlines(keepends=True) if "witness-1" not in line and "witness-2" not in line
    )
    assert_refused(few.verify("S1"), WitnessQuorumUnmet, 34)


@pytest.mark.parametrize("share", [b"", bytes(16)])
def test_a_short_share_is_weak(share: bytes) -> None:
    """T036."""
    assert_refused(updated("draw", share=encode(share)).verify("S1"), WeakSalt, 30)


def test_a_draw_after_the_first_promise_is_too_late() -> None:
    """T040: who has seen answers can choose."""
    world = World(draw=DRAWN)
    world.steps.remove(("draw",))
    world.steps.insert(world.steps.index(("promise", 0)) + 1, ("draw",))
    assert_refused(world.verify("S1"), SelectionNotReproducible, 40)


def test_a_registered_draw_that_was_never_made_is_refused() -> None:
    world = World(draw=DRAWN)
    world.steps.remove(("draw",))
    assert_refused(world.verify("S1"), SelectionNotReproducible, 40)


def test_drawing_twice_is_refused() -> None:
    """T040: until one likes the draw."""
    world = World(draw=DRAWN)
    world.steps.insert(world.steps.index(("draw",)), ("draw",))
    assert_refused(world.verify("S1"), SelectionNotReproducible, 40)


def test_a_draw_that_nobody_registered_is_refused() -> None:
    def bare(document: PreRegistration) -> PreRegistration:
        return document.model_copy(update={"draw": None})

    assert_refused(altered("registration", bare).verify("S1"), SelectionNotReproducible, 40)

    def other(document: Draw) -> Draw:
        return document.model_copy(update={"registration": "ab" * 32})

    assert_refused(altered("draw", other).verify("S1"), SelectionNotReproducible, 40)


def test_a_bank_of_another_size_than_registered_is_refused() -> None:
    """T040: items moved into or out of the bank by their kind."""

    def larger(document: PreRegistration) -> PreRegistration:
        assert document.draw is not None
        return document.model_copy(update={"draw": document.draw.model_copy(update={"bank": 30})})

    world = altered("registration", larger)
    assert_holds(world.verify("S3"))
    assert_refused(world.verify("S4"), SelectionNotReproducible, 40)


def test_an_item_that_was_drawn_and_never_asked_is_unaccounted_for() -> None:
    """T039."""

    def fewer(drawn: tuple[int, ...]) -> tuple[int, ...]:
        return drawn[1:]

    world = altered("chosen", fewer)
    world.steps = [step for step in world.steps if step not in (("promise", 21), ("record", 21))]
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_an_item_that_was_not_drawn_counts_as_nothing() -> None:
    """T038: it cannot be scored without having been asked."""

    def scored(rows: list[GradeRow]) -> list[GradeRow]:
        left = next(row for row in rows if row.task % 10 < 7 and row.value.role == "none")
        wrong = left.value.model_copy(update={"role": "test", "outcome": "error"})
        return [row._replace(value=wrong) if row is left else row for row in rows]

    assert_refused(altered("rows", scored).verify("S4"), DecoyScored, 41)


def test_a_share_that_is_not_signed_by_the_auditor_draws_nothing() -> None:
    world = World(draw=DRAWN, hooks=Hooks(signers={"draw": (keys().outsider,)}))
    assert_refused(world.verify("S1"), SignatureInvalid)
