"""Release logs as CSAF 2.1: checked against the standard's schema and tests by an independent validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World
from tests.support.world_suite import make_tasks
from tests.unit.attestations.rendering.test_pages import run, trusted

csaf = pytest.importorskip("csaf")


def exported(folder: Path, stage: str, recipient: str = "REGULATOR") -> dict[str, Any]:
    (folder / "evidence.zip").write_bytes(World(tasks=make_tasks(12)).evidence(stage, recipient))
    out = folder / "advisory.json"
    words = ("--trust", trusted(folder), "--csaf", str(out), "--namespace", "https://auditor.example")
    assert run("render", str(folder / "evidence.zip"), *words) == 0
    value: dict[str, Any] = json.loads(out.read_text())
    return value


@pytest.mark.parametrize(
    ("stage", "recipient", "label"),
    [("S1", "REGULATOR", "CLEAR"), ("S5", "REGULATOR", "RED"), ("S2", "PUBLIC", "CLEAR")],
)
def test_every_export_passes_the_standards_own_tests(tmp_path: Path, stage: str, recipient: str, label: str) -> None:
    value = exported(tmp_path, stage, recipient)
    report = csaf.validate(value)
    assert [(test.id, test.errors) for test in report.results if test.errors] == []
    assert report.overall_valid
    document = value["document"]
    assert document["distribution"]["tlp"]["label"] == label
    assert ("sharing_group" in document["distribution"]) is (label != "CLEAR")
    assert len(document["tracking"]["revision_history"]) == int(document["tracking"]["version"])


def test_an_export_says_that_it_proves_nothing_itself(tmp_path: Path) -> None:
    notes = {note["category"]: note["text"] for note in exported(tmp_path, "S3")["document"]["notes"]}
    assert "This document is not signed" in notes["other"]
    assert "valid signature is not a safe model" in notes["general"]
    assert notes["summary"]


def test_the_same_readers_are_always_the_same_sharing_group(tmp_path: Path) -> None:
    groups = [exported(tmp_path, stage)["document"]["distribution"]["sharing_group"] for stage in ("S3", "S5")]
    assert groups[0] == groups[1]


@pytest.mark.parametrize("missing", ["--trust", "--namespace"])
def test_nothing_is_exported_unchecked_or_without_a_publisher(
    tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evidence.zip").write_bytes(World(tasks=make_tasks(12)).evidence("S1"))
    options = {"--trust": trusted(tmp_path), "--namespace": "https://auditor.example"}
    words = [word for name, value in options.items() if name != missing for word in (name, value)]
    assert run("render", str(tmp_path / "evidence.zip"), "--csaf", str(tmp_path / "a.json"), *words) != 0
    assert missing in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()
