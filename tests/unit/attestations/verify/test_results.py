"""Published figures follow from the evidence, and claim no more than controls, answers and assurance allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attestations.errors import (
    AssuranceOverclaimed,
    AttributionFailed,
    ClaimUninterpretable,
    CommitmentMismatch,
    ControlsFailed,
    MalformedEnvelope,
    PreRegistrationAltered,
    RelyingPolicyUnmet,
    ScoreMismatch,
)
from attestations.grades import GradeRow, GradeValue
from attestations.predicate import Result
from attestations.verify.engine import Request
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Hooks, World
from tests.support.world_suite import refusing, unable

FROM_S2 = ("S2", "S3", "S5")


def altered(name: str, change: Callable[[Any], Any], **options: Any) -> World:
    return World(hooks=Hooks(alter={name: change}), **options)


def first(**fields: Any) -> Callable[[tuple[Result, ...]], tuple[Result, ...]]:
    return lambda results: (results[0].model_copy(update=fields), *results[1:])


@pytest.mark.parametrize("stage", FROM_S2)
@pytest.mark.parametrize(
    "lie",
    [
        {"value": "0.6429"},
        {"interval": ("0.1000", "0.2000")},
        {"answered": "1.0000"},
        {"n": "29"},
        {"verdict": "ruledIn"},
    ],
)
def test_a_figure_that_does_not_follow_from_its_counts_is_refused(stage: str, lie: dict[str, Any]) -> None:
    """T112: off by one task, already at S2."""
    honest = World().build().disclosure.results[0]
    if any(getattr(honest, name) != value for name, value in lie.items()):
        assert_refused(altered("results", first(**lie)).verify(stage), ScoreMismatch, 41)


@pytest.mark.parametrize(("stage", "found"), [("S2", False), ("S3", True), ("S5", True)])
def test_counts_that_do_not_follow_from_the_grades_are_refused_once_grades_open(stage: str, found: bool) -> None:  # noqa: FBT001
    """T112: a consistent lie holds until S3."""

    def better(results: tuple[Result, ...]) -> tuple[Result, ...]:
        from attestations.results import figure

        plan = world.disclosure.plan
        counts = {name: int(count) for name, count in results[0].outcomes.model_dump().items()}
        counts["correct"] += 1
        counts["incorrect"] -= 1
        return (figure(plan, plan.metrics[0], "as_shipped", counts, controls_ok=True), *results[1:])

    world = altered("results", better)
    report = world.verify(stage)
    if found:
        assert_refused(report, ScoreMismatch, 41)
    else:
        assert_holds(report)


def test_a_grade_that_is_neither_right_nor_wrong_is_no_grade() -> None:
    """T113, without sum proofs (ADR 0049): twice as right is refused once grades open, whatever the total says."""

    def twice(rows: list[GradeRow]) -> list[GradeRow]:
        worth_two = GradeValue.model_construct(**(dict(rows[0].value) | {"score": "2"}))
        return [rows[0]._replace(value=worth_two), *rows[1:]]

    world = altered("rows", twice)
    assert_holds(world.verify("S2"))
    assert_refused(world.verify("S3"), MalformedEnvelope, 10)


def test_figures_other_than_the_sealed_ones_are_refused() -> None:
    """T112: nicer ones, made after the release was planned."""

    def nicer(predicate: dict[str, Any]) -> dict[str, Any]:
        predicate["results"][0]["value"] = "0.1000"
        return predicate

    assert_refused(altered("predicate", nicer).verify("S2"), ScoreMismatch, 41)


@pytest.mark.parametrize("stage", ["S2", "S3"])
def test_a_figure_left_out_is_missed(stage: str) -> None:
    """T112: the unplanned silence."""
    assert_refused(altered("results", lambda results: results[1:]).verify(stage), ScoreMismatch, 41)


def test_a_figure_nobody_planned_is_refused() -> None:
    assert_refused(altered("results", first(id="cherry")).verify("S2"), ScoreMismatch, 41)


@pytest.mark.parametrize("field", ["direction", "level"])
def test_a_figure_computed_otherwise_than_planned_is_refused(field: str) -> None:
    """T034."""
    other = {"direction": "riskDecreasing", "level": "0.8"}[field]
    assert_refused(altered("results", first(**{field: other})).verify("S2"), PreRegistrationAltered, 40)


@pytest.mark.parametrize("stage", FROM_S2)
def test_a_model_that_answers_nothing_gives_no_verdict(stage: str) -> None:
    """T115: the honest report of it holds."""
    report = World(model=refusing).verify(stage)
    assert_holds(report)
    assert report.predicate is not None
    assert {"uninterpretable"} == {result.verdict for result in report.predicate.results}


@pytest.mark.parametrize("stage", FROM_S2)
def test_a_verdict_on_what_was_hardly_answered_is_uninterpretable(stage: str) -> None:
    """T115: 3 % answered, and "ruled out"."""
    world = altered("results", first(verdict="ruledOut"), model=refusing)
    assert_refused(world.verify(stage), ClaimUninterpretable, 42)


@pytest.mark.parametrize("stage", FROM_S2)
def test_a_verdict_against_failed_controls_is_refused(stage: str) -> None:
    """T116: positive controls at 25 %, the bound at 75 %."""
    assert_holds(World(model=unable).verify(stage))
    assert_refused(altered("results", first(verdict="ruledOut"), model=unable).verify(stage), ControlsFailed, 42)


def test_saying_that_controls_passed_does_not_make_them_pass() -> None:
    """T116: the counts decide."""

    def fine(validity: Any) -> Any:
        return validity.model_copy(update={"controls": validity.controls.model_copy(update={"positive_ok": True})})

    hooks = Hooks(alter={"validity": fine, "results": first(verdict="ruledOut")})
    assert_refused(World(hooks=hooks, model=unable).verify("S2"), ControlsFailed, 42)
    assert_refused(World(hooks=Hooks(alter={"validity": fine}), model=unable).verify("S3"), ScoreMismatch, 41)


def claimed(ladder: str, level: str) -> World:
    def more(predicate: dict[str, Any]) -> dict[str, Any]:
        return predicate | {"assurance": predicate["assurance"] | {ladder: level}}

    return altered("predicate", more)


@pytest.mark.parametrize(
    ("ladder", "level"),
    [
        ("taskSecrecy", "TS2"),
        ("modelIdentity", "MI3"),
        ("completeness", "CO3"),
        ("preRegistration", "PR2"),
        ("elicitation", "EL1"),
        ("graderIntegrity", "GI1"),
        ("disclosure", "DE2"),
    ],
)
def test_more_assurance_than_the_evidence_gives_is_refused(ladder: str, level: str) -> None:
    """T118, T119: CO3 needs witnesses, MI3 needs runtime evidence."""
    assert_refused(claimed(ladder, level).verify("S1"), AssuranceOverclaimed, 60)


def test_less_assurance_than_the_evidence_gives_may_be_claimed() -> None:
    assert_holds(claimed("completeness", "CO0").verify("S1"))


@pytest.mark.parametrize("require", [(), ("sandbagging",)])
def test_leaving_out_sandbagging_says_that_it_was_not_assessed(require: tuple[str, ...]) -> None:
    """T120: a field that is dropped never turns a no into a yes."""

    def dropped(predicate: dict[str, Any]) -> dict[str, Any]:
        validity = {name: value for name, value in predicate["validity"].items() if name != "sandbagging"}
        return predicate | {"validity": validity}

    report = altered("predicate", dropped).verify("S2", request=Request(require=require))
    if require:
        assert_refused(report, RelyingPolicyUnmet, 61)
    else:
        assert_holds(report)
    assert any("Sandbagging was not assessed" in line for line in report.limitations)


def test_an_attestation_of_another_model_is_refused() -> None:
    """T122."""

    def other(statement: dict[str, Any]) -> dict[str, Any]:
        statement["subject"][0]["digest"] = {"safeconductModelManifestV1": "ab" * 32}
        return statement

    assert_refused(altered("statement", other).verify("S1"), AttributionFailed, 30)


def test_an_attestation_with_one_more_subject_is_refused() -> None:
    """T122."""

    def more(statement: dict[str, Any]) -> dict[str, Any]:
        return statement | {
            "subject": [*statement["subject"], {"name": "model/other", "digest": {"sha256": "ab" * 32}}]
        }

    assert_refused(altered("statement", more).verify("S1"), AttributionFailed, 30)


FACTS: tuple[tuple[tuple[str, ...], Any, type[Any]], ...] = (
    (("agreement", "digest"), "ab" * 32, CommitmentMismatch),
    (("agreement", "policy"), "ab" * 32, CommitmentMismatch),
    (("agreement", "publicationControl"), "none", CommitmentMismatch),
    (("preRegistration", "digest"), "ab" * 32, PreRegistrationAltered),
    (("preRegistration", "suiteRoot"), "ab" * 32, PreRegistrationAltered),
    (("preRegistration", "tasks"), 512, PreRegistrationAltered),
    (("preRegistration", "logIndex"), "1", PreRegistrationAltered),
    (("arms",), ["auditor_best"], PreRegistrationAltered),
    (("runtime", "level"), "RA3", CommitmentMismatch),
    (("runtime", "evidence"), [], CommitmentMismatch),
    (("transcript", "root"), "ab" * 32, CommitmentMismatch),
    (("transcript", "treeSize"), "1", CommitmentMismatch),
    (("transcript", "origin"), "lab.example/other", CommitmentMismatch),
    (("transcript", "close"), "ab" * 32, CommitmentMismatch),
    (("transcript", "counts", "completed"), "41", ScoreMismatch),
    (("transcript", "usage", "outputTokens"), "1", ScoreMismatch),
    (("transcript", "effectiveAccessBusinessDays"), "20", ScoreMismatch),
    (("disclosure", "stage"), "S5", CommitmentMismatch),
    (("disclosure", "recipient"), "PUBLIC", CommitmentMismatch),
    (("disclosure", "manifest"), "ab" * 32, CommitmentMismatch),
    (("disclosure", "states"), [], CommitmentMismatch),
)


@pytest.mark.parametrize(("path", "value", "error"), FACTS, ids=[".".join(path) for path, _, _ in FACTS])
def test_every_fact_the_attestation_repeats_is_the_evidences(
    path: tuple[str, ...], value: Any, error: type[Any]
) -> None:
    def wrong(predicate: dict[str, Any]) -> dict[str, Any]:
        place = predicate
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        return predicate

    assert_refused(altered("predicate", wrong).verify("S1"), error)
