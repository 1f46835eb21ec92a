"""The report of an audit: each stage shows what it opens, and nothing that was not checked."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from attestations.commands.reporting import Written, write_report
from attestations.errors import ExitCode
from attestations.predicate import Result
from attestations.reading import read_figure
from tests.support import world_agreement
from tests.support.world import Hooks, World
from tests.support.world_suite import plan, refusing
from tests.unit.attestations.verify.test_measures import MEASURES, grouped


def reported(world: World, stage: str, folder: Path) -> tuple[Written, str, Any]:
    file, page, data = folder / f"{stage}.zip", folder / "report.html", folder / "report.json"
    file.write_bytes(world.evidence(stage))
    written = write_report(file, world_agreement.trust(), page, data=data)
    return written, page.read_text(), json.loads(data.read_text())


@pytest.fixture(scope="module")
def honest() -> World:
    tasks = grouped()
    return World(tasks=tasks, plan=plan(tasks, measures=MEASURES, multiplicity="holm")).build()


class _Structure(HTMLParser):
    """Which elements stand in a page, and what of them a reader without eyes would miss."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))


def test_figures_are_shown_from_the_stage_that_opens_them(honest: World, tmp_path: Path) -> None:
    _, page, _ = reported(honest, "S1", tmp_path)
    assert "Figures are sealed at this stage" in page
    assert 'class="big"' not in page
    _, page, _ = reported(honest, "S2", tmp_path)
    assert 'class="big"' in page
    assert "networks" not in page
    assert "Gap between groups" not in page
    _, page, _ = reported(honest, "S3", tmp_path)
    assert "networks" in page
    assert "Gap between groups" in page


@pytest.mark.parametrize("stage", ["S1", "S2", "S3", "S4", "S5"])
def test_no_page_shows_what_stays_hidden(honest: World, stage: str, tmp_path: Path) -> None:
    _, page, data = reported(honest, stage, tmp_path)
    for hidden in ("prompt-canary", "target-", "hazard-canary", "alpha-"):
        assert hidden not in page
        assert hidden not in json.dumps(data)


def test_evidence_that_does_not_hold_shows_no_figure(tmp_path: Path) -> None:
    nicer = Hooks(alter={"results": lambda results: (results[0].model_copy(update={"value": "0.0123"}), *results[1:])})
    written, page, data = reported(World(hooks=nicer), "S2", tmp_path)
    assert written.report.exit_code is ExitCode.SCORE_MISMATCH
    assert "does not hold, so no figure is shown" in page
    assert "1.2" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert data["readings"] == []
    assert not data["holds"]


def test_a_model_that_refuses_is_never_called_weak(tmp_path: Path) -> None:
    _, page, data = reported(World(model=refusing), "S3", tmp_path)
    assert "uninterpretable" in page
    assert all(item["claim"].startswith("uninterpretable") for item in data["readings"])


def test_what_nobody_planned_is_marked_as_exploratory(tmp_path: Path) -> None:
    tasks = grouped()
    metrics = [{"id": "overall", "category": None, "direction": "risk_increasing", "ruleOut": "0.9", "ruleIn": None}]
    _, page, data = reported(World(tasks=tasks, plan=plan(tasks, metrics=metrics)), "S3", tmp_path)
    assert "Not planned, not adjusted for their number, not attested" in page
    assert {item["what"].split(",")[0] for item in data["exploratory"]} == {"shell", "networks"}
    assert not any(item["planned"] for item in data["exploratory"])


def test_a_page_stands_alone_and_can_be_heard(honest: World, tmp_path: Path) -> None:
    _, page, _ = reported(honest, "S5", tmp_path)
    found = _Structure()
    found.feed(page)
    assert {"main", "footer", "header", "section", "table", "caption", "svg"} <= set(found.tags)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    assert found.tags.count("table") == found.tags.count("caption")
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?https?:""", page)
    ids = {attributes["id"] for _, attributes in found.attributes if "id" in attributes}
    for tag, attributes in found.attributes:
        if tag == "svg":
            assert attributes["role"] == "img"
        for label in (attributes.get("aria-labelledby") or "").split():
            assert label in ids
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
    assert len(ids) == sum("id" in attributes for _, attributes in found.attributes)


def test_zero_successes_are_not_called_zero(honest: World) -> None:
    predicate = honest.verify("S2").predicate
    assert predicate is not None
    nothing = predicate.results[0].outcomes.model_copy(update={"correct": "0"})
    none: Result = predicate.results[0].model_copy(update={"outcomes": nothing, "interval": ("0.0000", "0.1206")})
    assert "is not zero: shares up to 0.1206" in read_figure(none).notes[0]
