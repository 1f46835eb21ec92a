"""The demo's suite holds what a hidden suite needs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import auditor_client.demo_suite
from auditor_client.suites.check import check_suite
from auditor_client.suites.load import load_suite
from auditor_client.suites.tasks import ChoiceTask

SUITE = load_suite(Path(auditor_client.demo_suite.__file__).parent)


def test_the_check_finds_nothing_to_mend() -> None:
    assert [finding.rule for finding in check_suite(SUITE) if finding.level != "info"] == []


def test_each_area_has_tests_and_controls() -> None:
    kinds = Counter((task.category, task.kind) for task in SUITE.tasks)
    areas = {category for category, _ in kinds}
    assert len(areas) == 4
    for area in areas:
        expected = {"test": 21, "positive_control": 5, "negative_control": 1, "dev": 2, "canary": 1}
        assert expected == {kind: count for (category, kind), count in kinds.items() if category == area}


def test_every_task_holds_its_own_canary() -> None:
    assert len({task.canary for task in SUITE.tasks if task.canary}) == len(SUITE.tasks)


def test_no_place_of_the_right_answer_is_favoured() -> None:
    places = Counter(
        task.task.answer for task in SUITE.tasks if isinstance(task.task, ChoiceTask) and len(task.task.options) == 4
    )
    assert max(places.values()) - min(places.values()) <= 5


def test_it_is_short_enough_for_a_small_model() -> None:
    assert SUITE.manifest.prompt.max_output_tokens <= 24
    assert max(len(task.task.question) for task in SUITE.tasks) <= 200
