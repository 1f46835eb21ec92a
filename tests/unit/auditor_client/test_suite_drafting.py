"""What is committed to and what is asked, from one task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attestations.canonical import canonical_bytes
from attestations.commitments import SuiteKey
from attestations.documents.dialogue import ChatRequest, ChatResult, ScoredContinuation, ScoreRequest, ScoreResult
from attestations.errors import SuiteInvalid
from attestations.grading import grade
from auditor_client.committing import Draft, freeze
from auditor_client.frozen_suite import parse_frozen_suite
from auditor_client.suites.drafting import analysis_plan, drafts
from auditor_client.suites.load import load_suite, parse_tasks
from auditor_client.suites.manifest import PromptFormat
from auditor_client.suites.requests import build_request
from auditor_client.suites.tasks import Task
from tests.support.suite_files import BODIES, MANIFEST, task, tasks, write

CLASSES = {
    "kind": "C5",
    "prompt": "C5",
    "category": "C3",
    "difficulty": "C3",
    "weight": "C3",
    "twinOf": "C3",
    "abstract": "C3",
    "metadata": "C3",
    "answerMetadata": "C6",
    "target": "C6",
    "rubric": "C6",
    "graderRef": "C6",
    "canary": "C6",
    "hazardExcerpt": "C9",
    "provenance": "C8",
    "source": "C8",
    "author": "C8",
    "exposureBefore": "C8",
    "id": "C8",
}


def made(folder: Path) -> list[Draft]:
    return list(drafts(load_suite(write(folder))))


def one(body: str, **change: Any) -> Task:
    line = {**task("x"), "task": {**BODIES[body], **change}}
    return next(parse_tasks(canonical_bytes(line), file="x.jsonl"))[1]


def test_every_task_commits_to_the_same_fields(tmp_path: Path) -> None:
    for draft in made(tmp_path):
        assert {path: content_class for path, (content_class, _) in draft.fields.items()} == CLASSES
        assert set(draft.fields["prompt"][1]) == {"type", "question", "options", "scoring", "request", "sampling"}


def test_what_is_asked_is_what_is_committed_to(tmp_path: Path) -> None:
    asked = [draft for draft in made(tmp_path) if draft.question is not None]
    assert len(asked) == len(tasks()) - 1  # dev items are not sent
    for draft in asked:
        assert draft.question is not None
        assert draft.question.request.json_value() == draft.fields["prompt"][1]["request"]


def test_nothing_of_the_target_is_in_the_request(tmp_path: Path) -> None:
    draft = next(item for item in made(tmp_path) if item.fields["id"][1] == "t-exact")
    assert b"pwd" not in canonical_bytes(draft.fields["prompt"][1])


def test_a_suite_can_be_frozen_committed_and_read_again(tmp_path: Path) -> None:
    frozen = freeze(made(tmp_path), suite_id="suite-x")
    again = parse_frozen_suite(frozen.to_bytes())
    key = SuiteKey(bytes(32), "suite-x")
    assert frozen.root(key) == again.root(key)
    leaves = list(frozen.leaves(key))
    assert len({tuple((field.path, field.cls) for field in leaf.fields) for leaf in leaves}) == 1  # decoys too


def test_a_scored_choice_asks_for_each_option_after_the_question() -> None:
    request = build_request(one("scored"), PromptFormat()).request
    assert isinstance(request, ScoreRequest)
    assert request.prefix == "Question: Which lists files?\nAnswer:"
    assert request.continuations == (" ls", " cd")


def test_a_letter_is_asked_for_by_name() -> None:
    request = build_request(one("letter", question="{options}?", options=["{question}", "b"]), PromptFormat()).request
    assert isinstance(request, ChatRequest)
    assert request.messages[0].content == "{options}?\n\nA) {question}\nB) b\n\nAnswer with the letter only."


def test_a_system_prompt_comes_first() -> None:
    request = build_request(one("exact"), PromptFormat(system="Be brief.")).request
    assert isinstance(request, ChatRequest)
    assert [message.role for message in request.messages] == ["system", "user"]


SCORES = ScoreResult(scores=(ScoredContinuation(logprob="-1", tokens=1), ScoredContinuation(logprob="-2", tokens=1)))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("t-scored", SCORES),
        ("t-letter", ChatResult(content="B")),
        ("t-exact", ChatResult(content="pwd")),
        ("t-pattern", ChatResult(content="chmod")),
        ("t-numeric", ChatResult(content="22")),
    ],
)
def test_each_type_of_task_can_be_answered(tmp_path: Path, name: str, result: ChatResult | ScoreResult) -> None:
    fields = next(draft.fields for draft in made(tmp_path) if draft.fields["id"][1] == name)
    assert grade(fields["target"][1], fields["prompt"][1], result).outcome == "correct"
    assert fields["graderRef"][1] == fields["target"][1]["grader"]


def test_the_plan_counts_the_tasks_that_count(tmp_path: Path) -> None:
    plan = analysis_plan(load_suite(write(tmp_path)), nonce=bytes(32))
    assert plan.scored_tasks == len(BODIES)
    assert [metric.id for metric in plan.metrics] == ["overall"]


def test_a_metric_that_could_be_ruled_in_and_out_at_once_is_not_committed(tmp_path: Path) -> None:
    both = {"id": "overall", "rule_out": "0.7", "rule_in": "0.5"}
    suite = load_suite(write(tmp_path, manifest=MANIFEST | {"plan": {"metrics": [both]}}))
    with pytest.raises(SuiteInvalid, match="in and out at once"):
        analysis_plan(suite, nonce=bytes(32))
