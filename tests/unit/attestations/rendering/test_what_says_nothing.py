"""A report is no nicer than the evidence: what was not planned, not answered or not told is shown as that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from attestations.elicitation.claims import GapClaim
from attestations.predicate import Result
from attestations.reading import read_figure, read_gap
from attestations.rendering.plots import short
from attestations.rendering.report_facts import exposure_rows
from attestations.rendering.report_view import _calibration
from tests.support.world import World
from tests.support.world_suite import Task, plan, refusing, unable
from tests.unit.attestations.rendering.test_report import reported
from tests.unit.attestations.verify.test_measures import MEASURES, deviating, grouped, measures

HOSTILE = "<script>alert(1)</script>\u202egnp"


def unplanned(tasks: Sequence[Task], **world: Any) -> World:
    """Return an audit that planned one figure over all, so that every category is exploratory."""
    metrics = [{"id": "overall", "category": None, "direction": "risk_increasing", "ruleOut": "0.9", "ruleIn": None}]
    return World(tasks=list(tasks), plan=plan(tasks, metrics=metrics), **world)


def test_what_nobody_planned_is_as_uncertain_as_what_was_planned(tmp_path: Path) -> None:
    tasks = grouped()
    asked_twice, _, data = reported(unplanned(tasks, epochs=2), "S3", tmp_path)
    planned, _, _ = reported(World(tasks=tasks, plan=plan(tasks), epochs=2), "S3", tmp_path)
    shown = {item["what"].split(",")[0]: item["interval"] for item in data["exploratory"]}
    assert shown == {row.label: row.interval for row in planned.view.figures if row.label != "overall"}
    assert all(row.usable for row in asked_twice.view.exploratory)


@pytest.mark.parametrize("model", [refusing, unable])
def test_what_nobody_planned_falls_silent_where_figures_do(model: Any, tmp_path: Path) -> None:
    """T115, T116."""
    _, page, data = reported(unplanned(grouped(), model=model), "S3", tmp_path)
    assert [item["interpretable"] for item in data["exploratory"]] == [False, False]
    section = page[page.index('id="exploratory"') :]
    assert section.count("uninterpretable") == 2
    assert page.count("no result") == 1
    assert 'class="range"' not in page


def test_a_category_is_text_and_nothing_else(tmp_path: Path) -> None:
    tasks = [Task(t.i, {**t.fields, "category": ("C3", HOSTILE)}) if t.category == "shell" else t for t in grouped()]
    _, page, _ = reported(unplanned(tasks), "S3", tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[U+202E]gnp" in page


def test_what_was_registered_as_needed_stands_beside_what_was_found(tmp_path: Path) -> None:
    written, page, _ = reported(World(model=refusing), "S2", tmp_path)
    assert (
        "Answers: overall, as_shipped",
        "3.6\u00a0% of 28 items were answered; at least 50.0\u00a0% must be",
        "bad",
    ) in (written.view.controls)
    assert "3.6\u00a0% of 28 items were answered" in page


@pytest.mark.parametrize(("stage", "parts"), [("S1", 4), ("S2", 6)])
def test_parts_of_a_page_are_numbered_without_a_gap(stage: str, parts: int, tmp_path: Path) -> None:
    _, page, _ = reported(World(), stage, tmp_path)
    numbers = [int(line.split(">")[1].split(".")[0]) for line in page.splitlines() if line.startswith("<h2")]
    assert numbers == list(range(1, parts + 1))


def _gap(n: int) -> GapClaim:
    counts: Any = {"both": "0", "only_arm": "0", "only_as_shipped": "0", "neither": str(n)}
    figure: Any = {"value": "0.0000", "interval": ("-0.1", "0.1"), "level": "0.95", "category": None}
    return GapClaim(id="overall", content_class="C2", arm="lab_pack", n=str(n), **counts, **figure)


def _sides(honest: Result, verdict: str, **more: Any) -> list[Result]:
    return [
        honest.model_copy(update={"arm": "as_shipped"}),
        honest.model_copy(update={"arm": "lab_pack", "verdict": verdict, **more}),
    ]


def test_no_gap_between_arms_of_which_one_says_nothing() -> None:
    report = World().verify("S2")
    assert report.predicate is not None
    honest = report.predicate.results[0]
    assert read_gap(_gap(28), _sides(honest, "inconclusive")) == (True, None)
    assert read_gap(_gap(28), _sides(honest, "uninterpretable")) == (False, None)
    assert read_gap(_gap(0), _sides(honest, "inconclusive")) == (False, None)
    assert read_gap(_gap(28), _sides(honest, "inconclusive", units="10", design_effect="2.0000")) == (True, 10)
    assert read_gap(_gap(28), _sides(honest, "inconclusive", units="28", design_effect="1.0000")) == (True, None)
    assert read_figure(_sides(honest, "uninterpretable")[1]).notes == ()


def test_a_headline_without_figures_is_not_called_sealed(tmp_path: Path) -> None:
    """T114: declared in time, and of an arm that has nothing to show."""
    written, page, _ = reported(deviating("close", arm="no_such_arm"), "S2", tmp_path)
    assert written.report.holds
    assert "No overall figure of the headline arm, no_such_arm, is among the figures" in page
    assert "Figures are sealed at this stage" not in page
    assert written.view.deviations == ("headline, now no_such_arm: DEV shows that it finds more",)


def test_only_a_departure_of_the_headline_names_one(tmp_path: Path) -> None:
    written, _, _ = reported(deviating("close", what="metrics", arm="lab_pack"), "S2", tmp_path)
    assert written.view.deviations == ("metrics: DEV shows that it finds more",)


def test_exposure_that_is_not_told_is_counted() -> None:
    assert exposure_rows(["never", "never", "None", "leaked"])[-1][1] == "2"
    assert exposure_rows(["never"]) == (("nobody outside the auditor", "1"),)
    assert exposure_rows(None) == ()


def test_the_calibration_that_is_drawn_is_the_headlines() -> None:
    tasks = grouped()
    (found,) = (
        item
        for item in measures(World(tasks=tasks, plan=plan(tasks, measures=MEASURES)).verify("S2")).values()
        if item.id == "ece"
    )
    nicer = [found.model_copy(update=change) for change in ({"arm": "other"}, {"category": "shell"})]
    assert _calibration([*nicer, found], "as_shipped") == found
    assert _calibration([found.model_copy(update={"interpretable": False})], "as_shipped") is None


def test_long_names_keep_both_ends_beside_a_plot() -> None:
    assert short("overall · as_shipped") == "overall · as_shipped"
    assert short("a-very-long-name-of-a-category-indeed · lab_pack") == "a-very-long-na…ed · lab_pack"
