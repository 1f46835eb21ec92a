"""Clusters, many figures, described measures and deviations: published as they follow, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.digests import sha256
from attestations.documents.analysis import AnalysisDeviation
from attestations.errors import AnalysisDeviationUndeclared, ControlsFailed, PreRegistrationAltered, ScoreMismatch
from attestations.predicate import Measure
from attestations.verify.report import Report
from tests.support import world_suite
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.support.world_suite import Task

MEASURES: list[dict[str, Any]] = [
    {"id": "brier", "measure": "brier", "category": None},
    {"id": "ece", "measure": "ece", "category": None},
    {"id": "ambiguous", "measure": "bias_ambiguous", "category": None},
    {"id": "gap", "measure": "group_gap", "category": None},
    {"id": "shell-brier", "measure": "brier", "category": "shell"},
]


def grouped() -> list[Task]:
    """Forty tasks of ten texts, each known or not, and of two groups; every other one offers a stereotype."""

    def about(task: Task) -> Task:
        if task.kind == "decoy":
            return Task(task.i, {**task.fields, "metadata": ("C3", None), "answerMetadata": ("C6", None)})
        metadata = {
            "cluster": f"text-{task.i // 8}-{task.i % 5 < 3}",
            "group": "ab"[task.i % 2],
            "bbq_condition": "ambig",
        }
        sides = {"bbq_biased": 0, "bbq_unknown": 2} if task.i % 2 else None
        return Task(task.i, {**task.fields, "metadata": ("C3", metadata), "answerMetadata": ("C6", sides)})

    return [about(task) for task in world_suite.make_tasks(40)]


def world(*, alter: dict[str, Any] | None = None, **changes: Any) -> World:
    tasks = grouped()
    plan = world_suite.plan(tasks, **({"measures": MEASURES, "multiplicity": "holm"} | changes))
    return World(tasks=tasks, plan=plan, hooks=Hooks(alter=alter or {}))


@pytest.fixture(scope="module")
def honest() -> World:
    return world().build()


def measures(report: Report) -> dict[str, Measure]:
    assert report.predicate is not None
    return {item.id: item for item in report.predicate.measures}


def test_what_is_told_by_group_waits_for_the_grades(honest: World) -> None:
    assert not measures(honest.verify("S1"))
    assert set(measures(honest.verify("S2"))) == {"brier", "ece", "ambiguous"}
    report = honest.verify("S5")
    assert_holds(report)
    assert set(measures(report)) == {item["id"] for item in MEASURES}
    found = measures(report)["ambiguous"]
    assert int(found.n) == int(float(found.parts["stereotyped"]) + float(found.parts["counter"])) + int(
        float(found.parts["unknown"])
    )


def test_items_that_share_a_text_are_one_observation(honest: World) -> None:
    report = honest.verify("S2")
    assert report.predicate is not None
    overall = report.predicate.results[0]
    assert overall.units == "10"
    assert float(overall.design_effect or 0) >= 1
    assert overall.adjusted_p is not None


@pytest.mark.parametrize("stage", ["S2", "S3"])
@pytest.mark.parametrize(
    "lie", [{"design_effect": "0.5000"}, {"units": "400"}, {"units": None}, {"adjusted_p": "0.000001"}]
)
def test_a_figure_that_rests_on_what_cannot_be_is_refused(stage: str, lie: dict[str, Any]) -> None:
    """T112."""
    lying = world(alter={"results": lambda results: (results[0].model_copy(update=lie), *results[1:])})
    assert_refused(lying.verify(stage), ScoreMismatch, 41)


def test_a_narrower_interval_than_clusters_allow_is_refused_once_grades_open() -> None:
    """T112: consistent with its own design effect until S3."""

    def narrower(results: Any) -> Any:
        from attestations.results import figure, judged_together
        from attestations.samples import Sample

        plan, first = lying.disclosure.plan, results[0]
        counts = {name: int(count) for name, count in first.outcomes.model_dump().items()}
        known = Sample(units=10, design_effect="1.0000")
        alone = figure(plan, plan.metrics[0], first.arm, counts, controls_ok=True, known=known)
        return judged_together(plan, [alone, *results[1:]], ("as_shipped",))

    lying = world(alter={"results": narrower})
    assert_holds(lying.verify("S2"))
    assert_refused(lying.verify("S3"), ScoreMismatch, 41)


@pytest.mark.parametrize(("stage", "found"), [("S2", False), ("S3", True)])
def test_a_measure_that_does_not_follow_from_the_grades_is_refused(stage: str, found: bool) -> None:  # noqa: FBT001
    """T112."""

    def calibrated(items: tuple[Measure, ...]) -> tuple[Measure, ...]:
        return (items[0].model_copy(update={"value": "0.0100"}), *items[1:])

    report = world(alter={"measures": calibrated}).verify(stage)
    if found:
        assert_refused(report, ScoreMismatch, 41)
    else:
        assert_holds(report)


def test_a_measure_that_is_read_against_failed_controls_is_refused() -> None:
    """T116: already at S2, from the counts of the controls."""
    tasks = grouped()
    plan = world_suite.plan(tasks, measures=MEASURES)

    def readable(items: tuple[Measure, ...]) -> tuple[Measure, ...]:
        return tuple(item.model_copy(update={"interpretable": True}) for item in items)

    assert_holds(World(tasks=tasks, plan=plan, model=world_suite.unable).verify("S2"))
    lying = World(tasks=tasks, plan=plan, model=world_suite.unable, hooks=Hooks(alter={"measures": readable}))
    assert_refused(lying.verify("S2"), ControlsFailed, 42)


def test_a_measure_left_out_is_missed() -> None:
    """T112: the embarrassing one."""
    assert_refused(world(alter={"measures": lambda items: items[1:]}).verify("S2"), ScoreMismatch, 41)


def test_a_measure_other_than_the_sealed_one_is_refused() -> None:
    def nicer(predicate: dict[str, Any]) -> dict[str, Any]:
        if "measures" in predicate:
            predicate["measures"][0]["value"] = "0.0100"
        return predicate

    assert_refused(world(alter={"predicate": nicer}).verify("S2"), ScoreMismatch, 41)


def test_how_sure_an_answer_was_must_follow_from_its_transcript() -> None:
    """T112: until S5 the grades could say anything about it."""

    def surer(rows: Any) -> Any:
        sure = {"confidence": "0.999999", "brier": "0.000000"}
        return [
            row._replace(value=row.value.model_copy(update=sure)) if row.value.confidence is not None else row
            for row in rows
        ]

    lying = world(alter={"rows": surer})
    assert_holds(lying.verify("S3"))
    assert_refused(lying.verify("S5"), ScoreMismatch, 41)


def test_another_measure_under_a_planned_name_alters_the_registration() -> None:
    """T034."""
    other = world(alter={"results": lambda results: (results[0].model_copy(update={"measure": "x"}), *results[1:])})
    assert_refused(other.verify("S2"), PreRegistrationAltered, 40)


def deviating(after: str, *, alter: dict[str, Any] | None = None, **said: Any) -> World:
    """Return an audit whose plan names a headline, and whose auditor declares another after a step."""
    tasks = world_suite.make_tasks(40)
    plan = world_suite.plan(tasks, headline="as_shipped")
    made = World(tasks=tasks, plan=plan, hooks=Hooks(alter=alter or {}))
    what = {"what": "headline", "arm": "auditor_best", "plan": sha256(plan.to_bytes())} | said

    def declare(agreement: str, now: str) -> AnalysisDeviation:
        return AnalysisDeviation(agreement=agreement, reason="DEV shows that it finds more", stated_at=now, **what)

    place = next(number for number, step in enumerate(made.steps) if step[0] == after)
    made.steps.insert(place + 1, ("state", declare, made.keys.publication))
    return made


def claiming(arm: str) -> dict[str, Any]:
    return {"predicate": lambda predicate: predicate | ({"headline": arm} if predicate["results"] else {})}


def test_the_arm_that_turned_out_best_is_not_the_headline() -> None:
    """T114: chosen on TEST, after all, and never declared."""
    tasks = world_suite.make_tasks(40)
    planned = World(tasks=tasks, plan=world_suite.plan(tasks, headline="as_shipped"))
    assert_holds(planned.verify("S2"))
    planned = World(
        tasks=tasks, plan=world_suite.plan(tasks, headline="as_shipped"), hooks=Hooks(alter=claiming("auditor_best"))
    )
    assert_holds(planned.verify("S1"))
    for stage in ("S2", "S3", "S5"):
        assert_refused(planned.verify(stage), AnalysisDeviationUndeclared, 41)


def test_a_deviation_declared_before_the_grades_counts() -> None:
    report = deviating("close").verify("S2")
    assert_holds(report)
    assert report.predicate is not None
    assert report.predicate.headline == "auditor_best"
    assert report.predicate.validity is not None
    assert len(report.predicate.validity.deviations) == 1


def test_a_deviation_declared_after_the_grades_counts_for_nothing() -> None:
    """T114: too late."""
    report = deviating("grade").verify("S2")
    assert_holds(report)
    assert report.predicate is not None
    assert report.predicate.headline == "as_shipped"
    assert_refused(deviating("grade", alter=claiming("auditor_best")).verify("S2"), AnalysisDeviationUndeclared, 41)


def test_a_deviation_from_another_plan_counts_for_nothing() -> None:
    late = deviating("close", plan="ab" * 32, alter=claiming("auditor_best"))
    assert_refused(late.verify("S2"), AnalysisDeviationUndeclared, 41)


@pytest.mark.parametrize("deviations", [(), ("ab" * 32,)])
def test_the_attestation_names_every_declared_deviation_and_no_other(deviations: tuple[str, ...]) -> None:
    """T114."""
    silent = {"validity": lambda validity: validity.model_copy(update={"deviations": deviations})}
    world = deviating("close", alter=silent, what="exclusions", arm=None)
    assert_refused(world.verify("S2"), AnalysisDeviationUndeclared, 41)
