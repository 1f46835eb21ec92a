"""Formats in `suite.yaml`: one word for twenty arms, and what keeps a suite from being asked in them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from attestations.errors import SuiteInvalid
from attestations.formats import FORMATS
from attestations.scaffolds.method import Method
from auditor_client.suites.check import check_suite
from auditor_client.suites.drafting import analysis_plan, drafts
from auditor_client.suites.load import Suite, load_suite
from auditor_client.suites.manifest import Manifest
from auditor_client.suites.suspicion.finding import Finding
from tests.support.suite_files import BODIES, MANIFEST, task, write

SWING = {"metrics": [{"id": "overall"}], "measures": [{"id": "swing", "measure": "format_swing"}]}


def letters(name: str, kind: str = "test", question: str = "removes files") -> dict[str, Any]:
    body = {**copy.deepcopy(BODIES["letter"]), "question": f"Which {question}?"}
    return task(name, kind, task=body)


TASKS = [
    letters("t-1"),
    letters("t-2", question="deletes what it is given"),
    letters("dev", "dev", question="takes a name off a folder"),
    task("yes", "positive_control", "scored"),
    task("no", "negative_control", "numeric"),
    task("canary", "canary", "pattern"),
]


def read(folder: Path, lines: list[Any] | None = None, **manifest: Any) -> Suite:
    given = {**MANIFEST, "plan": SWING, **manifest}
    return load_suite(write(folder, TASKS if lines is None else lines, given))


def wrong(suite: Suite) -> list[Finding]:
    return [finding for finding in check_suite(suite) if finding.rule in ("formats", "arms")]


def test_all_formats_are_an_arm_each_beside_the_suite_as_shipped(tmp_path: Path) -> None:
    suite = read(tmp_path, formats="all")
    assert wrong(suite) == []
    plan = analysis_plan(suite, nonce=bytes(32))
    names = [f"format-{name}" for name in FORMATS]
    assert [arm.id for arm in plan.arms or ()] == ["as_shipped", *names]
    assert list(plan.formats) == names
    assert [arm.method for arm in plan.arms or ()][1:] == [Method(format=name) for name in FORMATS]
    assert [draft.question is not None for draft in drafts(suite)] == [True] * 6  # DEV is asked, as in other arms


def test_named_formats_stand_after_written_arms_which_may_have_one_as_well(tmp_path: Path) -> None:
    written = [{"id": "as_shipped"}, {"id": "thinking-in-numerals", "format": "roman-dot", "thinking": {}}]
    planned = {**SWING, "formats": ["as_shipped", "thinking-in-numerals"]}
    suite = read(tmp_path, formats=["airy", "reversed"], arms=written, plan=planned)
    assert wrong(suite) == []
    plan = analysis_plan(suite, nonce=bytes(32))
    assert plan.formats == ("as_shipped", "thinking-in-numerals", "format-airy", "format-reversed")
    assert (plan.arms or ())[1].method.format == "roman-dot"
    assert "format" not in (plan.arms or ())[0].method.json_value()


def test_a_suite_without_formats_is_committed_as_before(tmp_path: Path) -> None:
    plan = analysis_plan(read(tmp_path, plan={"metrics": [{"id": "overall"}]}), nonce=bytes(32))
    assert (plan.arms, plan.formats) == (None, ())


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"formats": ["comic-sans"]}, "formats.0: no format has this name"),
        ({"formats": "every"}, "formats: a list is wanted here"),
        ({"formats": ["airy", "airy"]}, "a format is named twice"),
        ({"arms": [{"id": "x", "format": "comic-sans"}]}, "arms.0.format: no format has this name"),
        ({}, "a figure over formats needs formats"),
        ({"arms": [{"id": "as_shipped", "format": "airy"}]}, "as_shipped asks every task exactly as committed"),
        ({"arms": [{"id": "lab_pack", "source": "lab_pack", "format": "airy"}]}, "stands in the pack"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_read(tmp_path: Path, manifest: Any, words: str) -> None:
    with pytest.raises(SuiteInvalid, match=words):
        read(tmp_path, **manifest)


@pytest.mark.parametrize("body", ["scored", "exact", "pattern", "numeric"])
@pytest.mark.parametrize("kind", ["test", "benign_twin", "dev"])
def test_a_task_that_cannot_be_laid_out_keeps_the_suite_from_being_committed(
    tmp_path: Path, body: str, kind: str
) -> None:
    (found,) = wrong(read(tmp_path, [*TASKS, task("odd", kind, body)], formats="all"))
    assert (found.level, found.tasks) == ("error", ("odd",))
    assert "1 tasks cannot be asked in a format, odd first" in found.message


@pytest.mark.parametrize(
    ("manifest", "name", "fault"),
    [
        ({"arms": [{"id": "format-airy", "format": "tight"}]}, "format-airy", "another format"),
        ({"arms": [{"id": "format-airy"}]}, "format-airy", "another format"),
        ({"named": ["x"]}, "x", "is no arm"),
        ({"arms": [{"id": "x", "format": "plain"}], "named": ["x"]}, "format-plain", "counted already"),
        ({"arms": [{"id": "x", "format": "airy", "epochs": 2}], "named": ["x"]}, "format-plain", "more often or less"),
        ({"arms": [{"id": "lab_pack", "source": "lab_pack"}], "named": ["lab_pack"]}, "lab_pack", "need not be asked"),
    ],
)
def test_formats_that_do_not_hold_together_keep_the_suite_from_being_committed(
    tmp_path: Path, manifest: dict[str, Any], name: str, fault: str
) -> None:
    arms, planned = [{"id": "as_shipped"}, *manifest.get("arms", [])], {**SWING, "formats": manifest.get("named", [])}
    suite = read(tmp_path, arms=arms, plan=planned, formats=["plain"])
    found = [finding for finding in wrong(suite) if finding.rule == "formats"]
    assert any(finding.level == "error" and f"{name} " in finding.message for finding in found)
    assert any(fault in finding.message for finding in found)


def test_formats_nobody_looks_at_and_options_that_are_labels_are_worth_a_warning(tmp_path: Path) -> None:
    (found,) = wrong(read(tmp_path, formats="all", plan={"metrics": [{"id": "overall"}]}))
    assert (found.level, "no figure over them" in found.message) == ("warning", True)
    numbers = {**BODIES["letter"], "question": "How many wheels has a bicycle?", "options": ["2", "3"], "answer": 0}
    lines = [*TASKS, task("wheels", task=numbers)]
    (found,) = wrong(read(tmp_path / "digits", lines, formats=["digit-dot"]))
    assert (found.level, found.tasks) == ("warning", ("wheels",))
    assert wrong(read(tmp_path / "letters", lines, formats=["airy", "lower-dot"])) == []


def test_more_arms_than_a_plan_holds_are_an_error(tmp_path: Path) -> None:
    arms = [{"id": "as_shipped"}, *({"id": f"x{n}", "system": str(n)} for n in range(15))]
    found = wrong(read(tmp_path, arms=arms, formats="all"))
    assert [item.message for item in found if item.level == "error"] == ["36 arms, of which there may be 32"]


def test_an_editor_is_told_the_names_of_formats() -> None:
    schema = Manifest.model_json_schema()
    assert schema["properties"]["formats"]["anyOf"][1]["items"]["enum"] == list(FORMATS)
    assert schema["$defs"]["ArmSpec"]["properties"]["format"]["anyOf"][0]["enum"] == list(FORMATS)


def test_the_guides_words_for_formats_make_a_suite(tmp_path: Path, repository: Path) -> None:
    fence = re.compile(r"^```yaml\n(formats:.*?)^```$", re.MULTILINE | re.DOTALL)
    found = fence.findall((repository / "docs/guides/auditor.md").read_text())
    assert len(found) == 2
    for text in found:
        suite = read(tmp_path, **yaml.safe_load(text))
        assert wrong(suite) == []
        assert len(analysis_plan(suite, nonce=bytes(32)).formats) in (5, 20)
