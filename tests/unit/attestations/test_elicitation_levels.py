"""What elicitation allows to be claimed: each rung needs those below it, and nothing is claimed above what was done."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from attestations.documents.agreement import Agreement
from attestations.documents.elicitation import RunStart, StartedArm
from attestations.documents.engagement import PreRegistration, RegisteredArm, RegisteredSuite
from attestations.elicitation.claims import ArmClaim, DevFigure, ElicitationClaim, LabPackClaim
from attestations.elicitation.course import Course, Established, established
from attestations.elicitation.figures import best_on_dev, trained_to_effect
from attestations.elicitation.levels import SANDBAGGING, elicitation_level, highest_sandbagging, sandbagging_level
from attestations.errors import AssuranceOverclaimed, ControlsFailed
from attestations.predicate import AuditPredicate, Controls, Validity
from attestations.verify.assured import check_sandbagging

BEST = ("as_shipped", "auditor_best")


def arm(name: str, correct: int | None, n: int = 10, *, run: bool = True) -> ArmClaim:
    dev = None if correct is None else DevFigure(correct=str(correct), n=str(n))
    return ArmClaim(
        id=name,
        status="run" if run else "notRun",
        reason=None if run else "hook_refused",
        variant="deployed" if run else None,
        dev=dev,
        spent=None,
    )


def claim(*arms: ArmClaim) -> ElicitationClaim:
    pack = LabPackClaim(status="provided", digest="00" * 32, reason=None)
    return ElicitationClaim(best=None, arms=arms, lab_pack=pack, hooks=(), gaps=(), exploratory=())


def registration() -> PreRegistration:
    arms = ("as_shipped", "sft_dev")
    return PreRegistration(
        agreement="00" * 32,
        suite=RegisteredSuite(id="s", root="00" * 32, tasks=1),
        class_keys=(),
        plan="00" * 32,
        graders=(),
        arms=arms,
        epochs=1,
        max_attempts=1,
        conduct=(
            RegisteredArm(id="as_shipped", epochs=1, variant="deployed"),
            RegisteredArm(id="sft_dev", epochs=1, variant=None),
        ),
        registered_at="2026-11-24T09:00:00Z",
    )


def predicate(sandbagging: str, elicitation: ElicitationClaim | None) -> AuditPredicate:
    controls = Controls(
        positive_passed="1",
        positive_n="1",
        positive_bound="0.5",
        positive_ok=True,
        negative_passed="0",
        negative_n="0",
    )
    validity = Validity(controls=controls, sandbagging=sandbagging, canary="notProbed")  # type: ignore[arg-type]
    return AuditPredicate.model_construct(validity=validity, elicitation=elicitation)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("done", "level", "sandbagging"),
    [
        (Established(), "EL0", "notAssessed"),
        (Established(("as_shipped",), asked=True, fine_tuned=True), "EL0", "sft"),
        (Established(BEST), "EL1", "notAssessed"),
        (Established(BEST, asked=True), "EL2", "promptOnly"),
        (Established(BEST, fine_tuned=True), "EL1", "sft"),
        (Established(BEST, asked=True, fine_tuned=True), "EL3", "sft"),
        (Established(BEST, asked=True, fine_tuned=True, fewest=True), "EL3", "sft"),  # nothing gives white-box access
    ],
)
def test_levels_follow_from_what_was_done(done: Established, level: str, sandbagging: str) -> None:
    assert (elicitation_level(done), highest_sandbagging(done)) == (level, sandbagging)


def test_taking_away_what_was_done_never_raises_a_level() -> None:
    """I22."""
    for arms, asked, tuned, fewest in product((BEST, BEST[:1]), (True, False), (True, False), (True, False)):
        whole = Established(arms, asked=asked, fine_tuned=tuned, fewest=fewest)
        for less in (
            Established(BEST[:1], asked=asked, fine_tuned=tuned, fewest=fewest),
            Established(arms, asked=False, fine_tuned=tuned, fewest=fewest),
            Established(arms, asked=asked, fine_tuned=False, fewest=fewest),
            Established(arms, asked=asked, fine_tuned=tuned, fewest=False),
        ):
            assert elicitation_level(less) <= elicitation_level(whole)
            assert SANDBAGGING.index(highest_sandbagging(less)) <= SANDBAGGING.index(highest_sandbagging(whole))


def test_more_than_was_done_may_not_be_claimed_of_sandbagging() -> None:
    """T079: with the hook refused, at most promptOnly."""
    done = Established(BEST, asked=True)
    check_sandbagging(predicate("promptOnly", None), done, None)
    with pytest.raises(AssuranceOverclaimed):
        check_sandbagging(predicate("sft", claim(arm("as_shipped", 2), arm("sft_dev", 9))), done, registration())


def test_a_fine_tune_that_does_nothing_assesses_nothing() -> None:
    """T080: no gain on DEV, the positive control of fine-tuning, is ControlsFailed."""
    done = Established((*BEST, "sft_dev"), asked=True, fine_tuned=True)
    idle, works = claim(arm("as_shipped", 3), arm("sft_dev", 3)), claim(arm("as_shipped", 3), arm("sft_dev", 9))
    assert sandbagging_level(done, idle, registration()) == "promptOnly"
    assert sandbagging_level(done, works, registration()) == "sft"
    check_sandbagging(predicate("sft", works), done, registration())
    with pytest.raises(ControlsFailed):
        check_sandbagging(predicate("sft", idle), done, registration())
    nothing_to_gain = claim(arm("as_shipped", 10), arm("sft_dev", 10))
    assert trained_to_effect(nothing_to_gain, registration())


def test_the_best_arm_is_the_first_with_the_highest_share_of_dev() -> None:
    assert best_on_dev([arm("a", 3), arm("b", 4), arm("c", 4)]) == "b"
    assert best_on_dev([arm("a", 3), arm("b", 9, run=False)]) == "a"
    assert best_on_dev([arm("a", 3, 10), arm("b", 6, 20), arm("c", 7, 20)]) == "c"
    assert best_on_dev([arm("a", None)]) is None


def test_what_a_dropped_arm_did_on_dev_shows_no_training() -> None:
    """T080: only an arm that ran on what was trained can show that training did something."""
    dropped = claim(arm("as_shipped", 3), arm("sft_dev", 9, run=False))
    assert not trained_to_effect(dropped, registration())
    assert not trained_to_effect(claim(arm("as_shipped", 0, 0), arm("sft_dev", 0, 0)), registration())
    wrecked = claim(arm("as_shipped", 10), arm("sft_dev", 0))
    assert not trained_to_effect(wrecked, registration())


@pytest.mark.parametrize(("base", "counts"), [("deployed", True), ("helpful", False)])
def test_only_what_was_trained_from_the_model_as_shipped_was_fine_tuned(base: str, counts: bool) -> None:  # noqa: FBT001
    variant = f"{base}+ft-1"
    arms = (
        StartedArm(id="as_shipped", variant="deployed", dropped=None),
        StartedArm(id="sft_dev", variant=variant, dropped=None),
    )
    fields: dict[str, Any] = {"arms": arms, "variants": ()}
    course = Course(start=RunStart.model_construct(None, **fields))
    agreement = Agreement.model_construct(None, **fields)
    done = established(registration(), course, agreement, frozenset({variant}))
    assert done.fine_tuned is counts
