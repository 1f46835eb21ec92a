"""A committed suite has a public size, one shape, and cannot be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from attestations.commitments import check_field, padded_size
from attestations.errors import FileUnusable, SuiteInvalid
from attestations.verify.schedule import RUN_KINDS
from auditor_client.committing import Draft, freeze, scored, write_commitment
from auditor_client.frozen_suite import ROLES, committed_fields, parse_frozen_suite
from auditor_client.home import Home
from tests.support.audit_world import design, suite, suite_key

DRAFTS = [Draft(task.fields, task.question) for task in suite().tasks[:7]]


def test_decoys_fill_the_suite_up_to_a_public_size() -> None:
    frozen = freeze(DRAFTS, suite_id="suite-test")

    assert (padded_size(7), 6, 7) == (len(frozen.tasks), len(scored(frozen)), sum(task.runs for task in frozen.tasks))
    assert {tuple(sorted(task.fields)) for task in frozen.tasks} == {tuple(sorted(DRAFTS[0].fields))}


def test_what_is_written_is_read_back_and_commits_to_the_same_root() -> None:
    frozen = freeze(DRAFTS, suite_id="suite-test")
    again = parse_frozen_suite(frozen.to_bytes())

    assert frozen.root(suite_key()) == again.root(suite_key())
    assert frozen.to_bytes() == again.to_bytes()


def test_every_field_opens_under_its_class_key() -> None:
    frozen = freeze(DRAFTS, suite_id="suite-test")
    leaf = list(frozen.leaves(suite_key()))[3]

    for path, (content_class, value) in committed_fields(frozen.tasks[3].fields).items():
        check_field(suite_key().class_key(content_class), leaf, path, value)


def test_a_suite_is_committed_once(tmp_path: Path) -> None:
    frozen, home = freeze(DRAFTS, suite_id="suite-test"), Home(tmp_path)
    write_commitment(home, frozen, design().plan)

    with pytest.raises(FileUnusable, match="already committed"):
        write_commitment(home, frozen, design().plan)


def test_a_task_that_is_sent_needs_a_question() -> None:
    with pytest.raises(SuiteInvalid):
        freeze([Draft(DRAFTS[0].fields, None)], suite_id="suite-test")


def test_a_suite_without_tasks_is_refused() -> None:
    with pytest.raises(SuiteInvalid):
        freeze([], suite_id="suite-test")


def test_items_count_here_as_they_do_for_a_verifier() -> None:
    assert RUN_KINDS == ROLES
