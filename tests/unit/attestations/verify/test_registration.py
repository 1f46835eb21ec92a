"""What was fixed before access is what was asked, graded and counted; anything else is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import commit_task, padded_size
from attestations.documents.engagement import PreRegistration
from attestations.errors import (
    CommitmentMismatch,
    DecoyScored,
    ExchangeOmitted,
    GraderDigestMismatch,
    PreRegistrationAltered,
    RegistrationTooLate,
    ReleasedContentMismatch,
    ScoreMismatch,
    UnaccountedTask,
)
from attestations.grades import GradeRow
from tests.support.reports import assert_holds, assert_refused
from tests.support.world import Exchange, Hooks, World
from tests.support.world_suite import commit, lines, make_tasks, plan, suite_key

Chunks = list[bytes]


def chunks(content_class: str, change: Callable[[Chunks], Chunks]) -> World:
    return World(hooks=Hooks(alter={f"chunks:{content_class}": change}))


def graded(change: Callable[[GradeRow], GradeRow]) -> World:
    def all_rows(rows: Sequence[GradeRow]) -> list[GradeRow]:
        return [change(row) for row in rows]

    return World(hooks=Hooks(alter={"rows": all_rows}))


def in_chunk(i: int, change: Callable[[dict[str, Any]], None]) -> Callable[[Chunks], Chunks]:
    def edited(given: Chunks) -> Chunks:
        value = parse_canonical(given[i])
        change(value["fields"])
        return [*given[:i], canonical_bytes(value), *given[i + 1 :]]

    return edited


def test_a_suite_registered_after_the_first_promise_is_too_late() -> None:
    """T031."""
    world = World()
    world.steps.remove(("register",))
    world.steps.insert(world.steps.index(("promise", 4)), ("register",))
    assert_refused(world.verify("S1"), RegistrationTooLate, 40)


def test_a_second_registration_is_refused() -> None:
    """T031."""
    world = World()
    world.steps.insert(2, ("register",))
    assert_refused(world.verify("S1"), PreRegistrationAltered, 40)


def test_a_task_text_swapped_after_registration_does_not_open() -> None:
    """T032."""

    def swap(fields: dict[str, Any]) -> None:
        fields["prompt"]["question"] = "an easier one"

    assert_refused(chunks("C5", in_chunk(3, swap)).verify("S4"), CommitmentMismatch, 30)
    assert_holds(chunks("C5", in_chunk(3, swap)).verify("S3"))  # still sealed


def test_a_field_moved_to_another_task_does_not_open() -> None:
    """T033."""

    def exchange(given: Chunks) -> Chunks:
        third, fourth = parse_canonical(given[3]), parse_canonical(given[4])
        third["fields"], fourth["fields"] = fourth["fields"], third["fields"]
        return [*given[:3], canonical_bytes(third), canonical_bytes(fourth), *given[5:]]

    assert_refused(chunks("C6", exchange).verify("S4"), CommitmentMismatch, 30)


def test_a_commitment_moved_to_another_task_does_not_open() -> None:
    """T033: the suite's own leaves, registered with two of them swapped."""
    tasks = make_tasks(40)
    leaves = list(commit(tasks))
    leaves[3], leaves[4] = replace(leaves[3], fields=leaves[4].fields), replace(leaves[4], fields=leaves[3].fields)
    from attestations.commitments import suite_root

    def register(document: PreRegistration) -> PreRegistration:
        return document.model_copy(update={"suite": document.suite.model_copy(update={"root": suite_root(leaves)})})

    world = World(tasks=tasks, hooks=Hooks(alter={"registration": register}))
    report = world.verify("S4", change=lambda members: members.update({"suite-leaves.jsonl": lines(leaves)}))
    assert_refused(report, CommitmentMismatch, 30)


@pytest.mark.parametrize("stage", ["S2", "S3", "S5"])
def test_a_threshold_changed_after_unblinding_is_refused(stage: str) -> None:
    """T034: a figure held against another threshold than the registered one."""

    def looser(results: Any) -> Any:
        return (results[0].model_copy(update={"rule_out": "0.99", "verdict": "ruledOut"}), *results[1:])

    assert_refused(World(hooks=Hooks(alter={"results": looser})).verify(stage), PreRegistrationAltered, 40)


def test_another_plan_than_the_registered_one_is_refused() -> None:
    """T034."""

    def other(given: Chunks) -> Chunks:
        value = parse_canonical(given[0])
        value["plan"]["metrics"][0]["ruleOut"] = "0.99"
        return [canonical_bytes(value)]

    assert_refused(chunks("C2", other).verify("S2"), PreRegistrationAltered, 40)


def test_a_grader_of_another_version_is_refused() -> None:
    """T035."""

    def register(document: PreRegistration) -> PreRegistration:
        graders = tuple(grader.model_copy(update={"digest": "ab" * 32}) for grader in document.graders)
        return document.model_copy(update={"graders": graders})

    world = World(hooks=Hooks(alter={"registration": register}))
    assert_refused(world.verify("S5"), GraderDigestMismatch, 41)


def test_equal_targets_have_unequal_commitments() -> None:
    """T037: four options cannot be tried against what is public."""
    fields = {"target": ("C6", {"grader": "choice-letter", "answer": 1})}
    made = {commit_task(suite_key(), i, fields).fields[0].commitment for i in range(200)}
    assert len(made) == 200


def test_a_failed_task_relabelled_as_a_decoy_is_missed_by_the_plan() -> None:
    """T038: the number of scored tasks was registered."""

    def drop(row: GradeRow) -> GradeRow:
        if row.task != 3:
            return row
        gone = row.value.model_copy(update={"outcome": "not_run", "score": "0", "role": "none"})
        return row._replace(value=gone)

    assert_refused(graded(drop).verify("S3"), DecoyScored, 41)


def test_a_decoy_scored_in_place_of_a_failed_task_is_found_when_kinds_open() -> None:
    """T038."""

    def swap(rows: list[GradeRow]) -> list[GradeRow]:
        swapped = dict(enumerate(rows))
        swapped[3] = rows[3]._replace(value=rows[60].value)
        swapped[200] = rows[60]._replace(value=rows[0].value)
        return list(swapped.values())

    world = World(hooks=Hooks(alter={"rows": swap}))
    assert_holds(world.verify("S3"))
    assert_refused(world.verify("S4"), DecoyScored, 41)


def test_tasks_that_were_never_asked_are_unaccounted_for() -> None:
    """T039: five of forty."""
    world = World(exchanges=[Exchange(i, i % 4) for i in range(35)])
    assert_holds(world.verify("S3"))
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_a_question_that_was_never_committed_to_is_unaccounted_for() -> None:
    """T045: a development task, or a decoy, sent as a test."""
    world = World(exchanges=[*(Exchange(i, i % 4) for i in range(40)), Exchange(0, 1, epoch=7)])
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_a_development_task_sent_as_a_test_is_unaccounted_for() -> None:
    """T045."""
    tasks = make_tasks(40)
    fields = dict(tasks[2].fields) | {"kind": ("C5", "dev")}
    tasks[2] = replace(tasks[2], fields=fields)
    world = World(tasks=tasks, exchanges=[Exchange(i, i % 4) for i in range(40)])
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_a_task_asked_again_after_its_answer_is_unaccounted_for() -> None:
    """T063: choosing the better of two samples."""
    world = World(exchanges=[*(Exchange(i, i % 4) for i in range(40)), Exchange(3, 0, attempt=1)])
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_attempts_beyond_the_registered_number_are_unaccounted_for() -> None:
    first = [Exchange(i, i % 4) for i in range(40)]
    first[3] = Exchange(3, 3, status="ERROR")
    tries = [Exchange(3, attempt % 4, attempt=attempt, status="ERROR") for attempt in range(1, 4)]
    world = World(exchanges=[*first, *tries])
    assert_refused(world.verify("S4"), UnaccountedTask, 33)


def test_attempts_with_a_gap_are_unaccounted_for() -> None:
    schedule = [Exchange(i, i % 4) for i in range(40)]
    schedule[3] = Exchange(3, 3, attempt=1)
    assert_refused(World(exchanges=schedule).verify("S4"), UnaccountedTask, 33)


@pytest.mark.parametrize("tests", [201, 230, 256])
def test_the_public_size_tells_no_number_of_tasks(tests: int) -> None:
    """T044."""
    assert padded_size(tests) == 256
    tasks = make_tasks(tests, size=256)
    shapes = {tuple(field[:2] for field in leaf.fields) for leaf in commit(tasks[:8] + tasks[-8:])}
    assert len(shapes) == 1


def test_a_task_with_fields_of_its_own_would_tell_it_from_the_others() -> None:
    """T044."""
    tasks = make_tasks(40)
    tasks[5] = replace(tasks[5], fields={**tasks[5].fields, "note": ("C8", "kept")})
    assert_refused(World(tasks=tasks).verify("S4"), CommitmentMismatch, 30)


def test_another_question_than_the_one_committed_to_is_found_in_its_transcript() -> None:
    """An easier prompt, sent under the name of a hard task."""
    asked, committed = make_tasks(40), make_tasks(40)
    prompt = dict(asked[4].prompt)
    prompt["request"] = dict(prompt["request"]) | {
        "messages": [{"role": "user", "content": "say target-4", "toolCalls": [], "toolCallId": None}]
    }
    asked[4] = replace(asked[4], fields={**asked[4].fields, "prompt": ("C5", prompt)})
    world = World(tasks=committed)
    world.build_with(asked)
    assert_holds(world.verify("S4"))
    assert_refused(world.verify("S5"), ReleasedContentMismatch, 30)


def test_another_sampling_than_the_one_committed_to_is_found() -> None:
    asked, committed = make_tasks(40), make_tasks(40)
    prompt = dict(asked[4].prompt)
    prompt["sampling"] = dict(prompt["sampling"]) | {"temperature": "1.5"}
    asked[4] = replace(asked[4], fields={**asked[4].fields, "prompt": ("C5", prompt)})
    world = World(tasks=committed)
    world.build_with(asked)
    assert_refused(world.verify("S5"), ReleasedContentMismatch, 30)


def test_a_grade_that_does_not_follow_from_its_transcript_is_found() -> None:
    def better(row: GradeRow) -> GradeRow:
        if row.task != 3:
            return row
        return row._replace(value=row.value.model_copy(update={"outcome": "correct", "score": "1"}))

    world = graded(better)
    assert_holds(world.verify("S4"))
    assert_refused(world.verify("S5"), ScoreMismatch, 41)


def test_an_answer_graded_as_if_it_had_not_come_is_omitted() -> None:
    """T067: recorded, not reported."""

    def lost(row: GradeRow) -> GradeRow:
        if row.task != 3:
            return row
        return row._replace(value=row.value.model_copy(update={"outcome": "error", "score": "0"}))

    assert_refused(graded(lost).verify("S4"), ExchangeOmitted, 33)


def test_a_score_without_its_outcome_is_refused() -> None:
    def bare(row: GradeRow) -> GradeRow:
        return row._replace(value=row.value.model_copy(update={"score": "1"})) if row.task == 3 else row

    assert_refused(graded(bare).verify("S3"), ScoreMismatch, 41)


@pytest.mark.parametrize("step", ["grade", "seal"])
def test_grades_and_packages_come_before_any_release(step: str) -> None:
    """I17: nothing is fixed once something is known."""
    world = World()
    place = world.steps.index(("release", "S1", "C1", "REGULATOR"))
    world.steps.insert(place + 1, (step,))
    # Packages sealed again also have another manifest than the one the log holds first.
    assert_refused(world.verify("S2"), PreRegistrationAltered, 40 if step == "grade" else 30)


def test_grades_before_the_close_are_refused() -> None:
    world = World()
    world.steps.remove(("grade",))
    world.steps.insert(world.steps.index(("close",)), ("grade",))
    assert_refused(world.verify("S1"), PreRegistrationAltered, 40)


def test_a_plan_that_counts_fewer_tasks_than_are_scored_is_refused() -> None:
    tasks = make_tasks(40)
    world = World(tasks=tasks, plan=plan(tasks, scoredTasks=27))
    assert_refused(world.verify("S2"), ScoreMismatch, 41)
