"""What several sessions are told of one job: whatever an honest lab may sign is taken, and nothing else is."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any, NamedTuple

from hypothesis import given, settings, strategies as st

from attestations.documents.finetuning import ENDED, Recipe, TrainingStatement
from attestations.training_history import JobHistory

CODES = {"FAILED": "DIVERGED", "ABORTED_CRASH": "WORKER_RESTARTED"}


class Said(NamedTuple):
    """A statement, and the leaves of its Promise and its Record."""

    statement: TrainingStatement
    promised: int
    recorded: int


def stated(steps: int, tokens: int, *, state: str = "RUNNING", resumed: int = 0) -> TrainingStatement:
    fields: dict[str, Any] = {
        "job": "ft-1",
        "state": state,
        "code": CODES.get(state),
        "base": "deployed",
        "base_manifest": "11" * 32,
        "demonstrations": "22" * 32,
        "count": 1,
        "recipe": Recipe(),
        "trainer": "test/1",
        "planned_steps": 4,
        "planned_tokens": "40",
        "steps": steps,
        "tokens": str(tokens),
        "seconds": "0",
        "resumed": resumed,
    }
    return TrainingStatement(**fields)


def taken(said: list[Said]) -> bool:
    """Tell whether all statements are taken, heard of in this order; the first one starts the job."""
    history = JobHistory(said[0].statement, started=said[0].recorded)
    for number, (statement, promised, recorded) in enumerate(said):
        if number and not history.fits(statement, promised=promised, recorded=recorded):
            return False
        history.take(statement, promised=promised, recorded=recorded)
    return True


def may_follow(before: TrainingStatement, now: TrainingStatement) -> bool:
    """Tell whether a lab may state the one and then the other; written down as the rule reads."""
    if before.state in ENDED:
        return before == now
    if now.state == "ABORTED_CRASH" or now.resumed > before.resumed:
        return True
    return now.resumed == before.resumed and now.steps >= before.steps and int(now.tokens) >= int(before.tokens)


def some_order_is_possible(said: list[Said]) -> bool:
    """Try every order; whatever was recorded before another one was promised was stated before it."""
    return any(
        all(two.recorded > one.promised and may_follow(one.statement, two.statement) for one, two in pairs)
        for order in permutations(said)
        for pairs in [list(combinations(order, 2))]
    )


@st.composite
def heard(draw: st.DrawFn) -> list[Said]:
    """Draw up to four exchanges about one job as the log holds them, in an order in which they are heard of."""
    count = draw(st.integers(1, 4))
    leaves = draw(st.permutations(range(2 * count)))
    said = [
        Said(
            stated(
                draw(st.integers(0, 2)),
                draw(st.integers(0, 2)),
                state=draw(st.sampled_from(["RUNNING", "RUNNING", "RUNNING", "CANCELLED", "FAILED", "ABORTED_CRASH"])),
                resumed=draw(st.integers(0, 1)),
            ),
            *sorted(leaves[2 * number : 2 * number + 2]),
        )
        for number in range(count)
    ]
    said.sort(key=lambda item: item.recorded)
    return [said[0], *draw(st.permutations(said[1:]))]


@settings(max_examples=300, derandomize=True)
@given(heard())
def test_exactly_what_fits_some_order_is_taken_however_it_is_heard_of(said: list[Said]) -> None:
    assert taken(said) == some_order_is_possible(said)


def test_answers_that_overlap_must_fit_one_order_all_together() -> None:
    """Each of the first two fits the furthest one; of the two, neither can have been before the other."""
    told = [stated(2, 0), stated(0, 2), stated(2, 2)]
    places = [(1, 4), (2, 5), (0, 3)]
    said = [Said(statement, *place) for statement, place in zip(told, places, strict=True)]
    assert taken([said[2], said[0]])
    assert taken([said[2], said[1]])
    assert not taken([said[2], said[0], said[1]])
    assert not taken([said[2], said[1], said[0]])
