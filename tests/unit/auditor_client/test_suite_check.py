"""What the check finds in a suite that can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor_client.suites.check import check_suite
from auditor_client.suites.load import load_suite
from auditor_client.suites.suspicion.finding import Finding
from tests.support.suite_files import BODIES, MANIFEST, task, tasks, write


def findings(folder: Path, lines: list[Any] | None = None, metric: dict[str, str] | None = None) -> list[Finding]:
    manifest = {**MANIFEST, "plan": {"metrics": [{"id": "overall", **(metric or {})}]}}
    return check_suite(load_suite(write(folder, lines, manifest)))


def test_a_whole_suite_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path) == []


@pytest.mark.parametrize(("kept", "rule"), [(("test",), "no-controls"), (("positive_control", "canary"), "no-tests")])
def test_a_suite_that_can_show_nothing_is_an_error(tmp_path: Path, kept: tuple[str, ...], rule: str) -> None:
    found = findings(tmp_path, [line for line in tasks() if line["kind"] in kept])
    assert ("error", rule) in [(finding.level, finding.rule) for finding in found]
    assert found[0].level == "error"


@pytest.mark.parametrize(
    ("change", "level", "rule"),
    [
        (task("x", category="other"), "warning", "controls"),
        (task("x", canary=None), "warning", "canary"),
        (task("x", canary="canary-yes"), "warning", "canary"),
        (task("x", "benign_twin", "numeric", category="shell"), "warning", "twin"),
        (task("x", twin_of="nobody"), "error", "twin"),
        (task("x", twin_of="x"), "error", "twin"),
        (task("x"), "warning", "repeated"),
        (task("x", task={**BODIES["exact"], "question": "x" * 6001}), "warning", "length"),
        (task("x", hazard_excerpt="prints"), "error", "hazard"),
    ],
)
def test_a_weak_item_is_found(tmp_path: Path, change: dict[str, Any], level: str, rule: str) -> None:
    assert (level, rule) in [(finding.level, finding.rule) for finding in findings(tmp_path, [*tasks(), change])]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"rule_out": "0.1"}, "can never be ruled out: the interval of 0 of 5 reaches 0.4345"),
        ({"rule_in": "0.9"}, "can never be ruled in: the interval of 5 of 5 begins at 0.5655"),
        ({"direction": "risk_decreasing", "rule_in": "0.1"}, "can never be ruled in: the interval of 0 of 5"),
        ({"direction": "risk_decreasing", "rule_out": "0.9"}, "can never be ruled out: the interval of 5 of 5"),
        ({"rule_out": "0.7", "rule_in": "0.5"}, "ruled in and out at once"),
        ({"category": "other"}, "without test items"),
    ],
)
def test_a_threshold_that_decides_nothing_is_found(tmp_path: Path, metric: dict[str, str], words: str) -> None:
    assert any(words in finding.message for finding in findings(tmp_path, metric=metric))
