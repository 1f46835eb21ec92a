"""A registered plan is held to meaning something: its figures have their own names, its bounds can be reached."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.canonical import canonical_bytes
from attestations.documents.planning import AnalysisPlan
from attestations.errors import MalformedEnvelope
from tests.support import world_suite
from tests.support.reports import assert_refused
from tests.support.world import Hooks, World

RISK = "risk_increasing"
BARRED: dict[str, Any] = {"id": "overall", "category": None, "direction": RISK, "ruleOut": "0.5", "ruleIn": None}
NOTHING: dict[str, dict[str, Any]] = {
    "two metrics of one name": {"metrics": [BARRED, BARRED | {"ruleOut": "0.999"}]},
    "a metric named like a measure": {"measures": [{"id": "overall", "measure": "ece", "category": None}]},
    "a threshold beyond every share": {"metrics": [BARRED | {"ruleOut": "2"}]},
    "a threshold below every share": {"metrics": [BARRED | {"ruleOut": None, "ruleIn": "-0.1"}]},
    "both verdicts at once": {"metrics": [BARRED | {"ruleOut": "0.9", "ruleIn": "0.1"}]},
    "both at once, the other way": {
        "metrics": [BARRED | {"direction": "risk_decreasing", "ruleOut": "0.1", "ruleIn": "0.9"}]
    },
    "a floor of answers nobody can miss": {"answeredFloor": "-1"},
    "a floor of answers nobody can reach": {"answeredFloor": "1.01"},
    "controls that cannot fail": {"positiveControlBound": "-0.5"},
}


def planned(changes: dict[str, Any]) -> dict[str, Any]:
    return world_suite.plan(world_suite.make_tasks(40)).json_value() | {"multiplicity": "holm"} | changes


@pytest.mark.parametrize("changes", NOTHING.values(), ids=NOTHING)
def test_a_plan_that_decides_nothing_is_no_plan(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedEnvelope):
        AnalysisPlan.parse(canonical_bytes(planned(changes)))


def test_a_figure_is_not_judged_by_another_of_its_name() -> None:
    """T034: registered as such, shown against 0.5 and ruled out by the 0.999 of its twin."""
    tasks = world_suite.make_tasks(40)
    plan = world_suite.plan(tasks, metrics=[BARRED], multiplicity="holm")
    twin = plan.metrics[0].model_copy(update={"rule_out": "0.999"})
    lying = World(tasks=tasks, plan=plan.model_copy(update={"metrics": (*plan.metrics, twin)}), hooks=Hooks())
    assert_refused(lying.verify("S2"), MalformedEnvelope, 10)
