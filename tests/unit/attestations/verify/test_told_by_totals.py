"""What totals show at S2: answers to one task are no observations of their own, measures are the planned ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attestations.errors import PreRegistrationAltered, ScoreMismatch
from attestations.results import figure
from attestations.samples import Sample
from tests.support import world_suite
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.unit.attestations.verify.test_measures import MEASURES, grouped

EPOCHS = 3


def asked_thrice(measure: str | None, known: Callable[[int, int], Sample] | None = None) -> World:
    """Return an audit that asks each of 28 tasks three times, and whose figure says to rest on something else."""
    tasks = world_suite.make_tasks(40)
    metric: dict[str, Any] = {"id": "overall", "category": None, "direction": "risk_increasing"}
    metric |= {"ruleOut": "0.9", "ruleIn": None}
    metric |= {} if measure is None else {"measure": measure}
    metric |= {"k": 1} if measure == "pass_at_k" else {}
    plan = world_suite.plan(tasks, metrics=[metric])

    def resting(results: Any) -> Any:
        counts = {name: int(count) for name, count in results[0].outcomes.model_dump().items()}
        lie = Sample() if known is None else known(sum(counts.values()), counts["correct"])
        return (figure(plan, plan.metrics[0], results[0].arm, counts, controls_ok=True, known=lie),)

    alter: dict[str, Any] = {} if known is None else {"results": resting}
    return World(tasks=tasks, plan=plan, epochs=EPOCHS, hooks=Hooks(alter=alter))


@pytest.mark.parametrize("measure", [None, "answered_accuracy", "pass_at_k"])
def test_a_task_asked_often_is_one_observation(measure: str | None) -> None:
    report = asked_thrice(measure).verify("S2")
    assert_holds(report)
    assert report.predicate is not None
    (overall,) = report.predicate.results
    assert (overall.n, overall.units) == ("84", None if measure == "pass_at_k" else "28")


@pytest.mark.parametrize(
    ("measure", "known"),
    [
        (None, lambda *_: Sample()),
        (None, lambda n, _: Sample(units=n, design_effect="1.0000")),
        ("answered_accuracy", lambda *_: Sample()),
        ("pass_at_k", lambda n, right: Sample(by_task=(n - right, right))),
        ("pass_at_k", lambda n, right: Sample(by_task=tuple(int(count == right) for count in range(n + 1)))),
    ],
    ids=["items", "more-units-than-tasks", "answered", "attempts-as-tasks", "tasks-as-attempts"],
)
def test_answers_of_one_task_are_not_counted_as_tasks(measure: str | None, known: Callable[[int, int], Sample]) -> None:
    """T112: the interval three times as many tasks would give, refused before any grade is open."""
    assert_refused(asked_thrice(measure, known).verify("S2"), ScoreMismatch, 41)


@pytest.mark.parametrize("lie", [{"measure": "ece"}, {"category": "shell"}, {"versus": "other"}, {"level": "0.8"}])
def test_a_measure_other_than_the_planned_one_of_its_name_alters_the_registration(lie: dict[str, Any]) -> None:
    """T034: already at S2, where it cannot be computed again."""
    tasks = grouped()

    def other(items: Any) -> Any:
        return (items[0].model_copy(update=lie), *items[1:])

    plan = world_suite.plan(tasks, measures=MEASURES)
    lying = World(tasks=tasks, plan=plan, hooks=Hooks(alter={"measures": other}))
    assert_refused(lying.verify("S2"), PreRegistrationAltered, 40)
