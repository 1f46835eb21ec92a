"""`safeconduct adjudicate` as a person runs it: a sentence a finding, a documented exit code, no network, no clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attestations.canonical import canonical_bytes
from attestations.errors import ExitCode
from tests.integration.test_verify_cli import _OFFLINE, run
from tests.vectors.families import read

CODES = {"T047": 32, "T053": 70, "T054": 33, "T055": 33, "T056": 32, "T064": 32, "T072": 32, "T073": 70}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the cases of the vectors and the trust file they are judged with."""
    vectors = read("adjudication")
    (tmp_path / "trust.json").write_text(json.dumps(vectors["trust"]))
    for name, item in vectors["cases"].items():
        (tmp_path / f"{name.split()[0]}.json").write_bytes(canonical_bytes(item["case"]))
    return tmp_path


def adjudicate(folder: Path, name: str, *options: str, program: str | None = None) -> Any:
    return run(folder, "adjudicate", f"{name}.json", "--trust", "trust.json", *options, program=program)


@pytest.mark.parametrize(("name", "code"), list(CODES.items()))
def test_each_case_has_its_sentence_and_its_exit_code(folder: Path, name: str, code: int) -> None:
    """T047, T053, T054, T055, T056, T064, T072, T073."""
    done = adjudicate(folder, name, program=_OFFLINE)
    assert (done.returncode, done.stderr) == (code, "")
    first = done.stdout.splitlines()[0]
    assert first.startswith("inconclusive: " if code == ExitCode.INDETERMINATE else "blamed: ")
    assert "Not proven: " in done.stdout


def test_a_verdict_is_json_on_request(folder: Path) -> None:
    done = adjudicate(folder, "T054", "--json")
    verdict = json.loads(done.stdout)
    assert verdict["blamed"] == [{"role": "lab", "reason": "UNANSWERED"}]
    assert verdict["exitCode"] == done.returncode == ExitCode.INCOMPLETE


def test_a_time_to_judge_at_leaves_out_what_came_later(folder: Path) -> None:
    done = adjudicate(folder, "T054", "--at", "2026-11-03T09:30:00Z")
    assert done.returncode == ExitCode.INDETERMINATE


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("bad", b"{}", ExitCode.MALFORMED), ("bad", b"", ExitCode.MALFORMED), ("none", None, ExitCode.SETUP)],
)
def test_what_is_no_case_is_one_sentence_and_a_code(folder: Path, name: str, data: bytes | None, code: int) -> None:
    if data is not None:
        (folder / f"{name}.json").write_bytes(data)
    done = adjudicate(folder, name)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1)


def test_strangers_to_the_reader_are_not_judged(folder: Path) -> None:
    trust = json.loads((folder / "trust.json").read_text())
    trust["parties"] = trust["parties"][:1]
    (folder / "trust.json").write_text(json.dumps(trust))
    done = adjudicate(folder, "T047")
    assert (done.returncode, "UNTRUSTED_PARTY" in done.stderr) == (ExitCode.ROLE_OR_TRUST_MISSING, True)
