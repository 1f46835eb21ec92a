"""The demo, told with a scripted model: what it claims is asserted from the files it leaves, not from its words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from attestations.container import Container
from attestations.documents.agreement import Agreement
from attestations.envelope import parse_envelope
from attestations.log_entries import parse_entry
from auditor_client.demo.cli import tell
from auditor_client.demo.telling import Teller
from tests.support.forking import Commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
VIEWS = {"": 5, "lab-": 2, "public-": 4}  # how many stages each reader got


class Forked(Teller):
    """Runs the demo's commands as it does itself, but for the start of every interpreter."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        super().__init__(folder)
        self._commands = commands

    def ran(self, arguments: Sequence[str], *, progress: bool) -> subprocess.CompletedProcess[str]:
        return self._commands.run(arguments)


class Told:
    """The folder of a demo that was run to its end, and a reader's commands in it."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self.folder = folder
        self._commands = commands

    def verified(self, name: str, *options: str) -> dict[str, Any]:
        """Verify a file again and return the report."""
        said = self._commands.run(["verify", name, "--trust", "trust.json", "--json", *options])
        report: dict[str, Any] = json.loads(said.stdout)
        assert report["exitCode"] == said.returncode
        return report

    def container(self, name: str) -> Container:
        """Open an evidence file."""
        return Container(BytesIO((self.folder / name).read_bytes()))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Run the demo once."""
    folder = tmp_path_factory.mktemp("demo")
    with Commands(folder) as commands:
        tell(Forked(folder, commands), folder, scripted=True)
        yield Told(folder, commands)


def test_every_stage_was_verified_by_its_reader(told: Told) -> None:
    for reader, stages in VIEWS.items():
        for number in range(1, stages + 1):
            report = told.verified(f"evidence-{reader}S{number}.zip")
            assert (report["exitCode"], report["stage"]) == (0, f"S{number}"), (reader, number)
    assert [json.loads((told.folder / f"report-S{n}.json").read_text())["exitCode"] for n in range(1, 6)] == [0] * 5


def test_the_counter_offer_is_what_was_agreed(told: Told) -> None:
    signed = parse_envelope(told.container("evidence-S1.zip").read("agreement.dsse.json", limit=1 << 20))
    agreed = Agreement.parse(signed.payload)
    assert agreed.budget.requests == "5000"
    assert {party.role for party in agreed.parties} == {"lab", "auditor", "regulator", "escrow"}


def test_keys_were_in_escrow_and_checked_by_every_holder_before_anything_was_released(told: Told) -> None:
    kinds = [parse_entry(line).kind for line in told.container("evidence-S5.zip").lines("log.jsonl")]
    assert kinds.count("escrow_verified") == 3
    assert max(place for place, kind in enumerate(kinds) if kind == "escrow") < kinds.index("delivery")
    assert kinds.index("delivery") < kinds.index("release")


def test_each_reader_sees_its_own_view_and_holes_are_counted(told: Told) -> None:
    """The lab no task, the public no right answer, the regulator everything but hazards."""
    lab = told.verified("evidence-lab-S2.zip")
    public = told.verified("evidence-public-S4.zip")
    assert (lab["recipient"], public["recipient"]) == ("LAB_ALL", "PUBLIC")
    holes = {name: counts["closed"] for name, counts in public["redactions"].items()}
    assert {hole["reason"] for closed in holes.values() for hole in closed} == {"SECURITY", "REUSE"}
    assert sum(hole["fields"] for hole in holes["C5"]) == 10
    assert set(json.loads(told.container("evidence-lab-S2.zip").read("keys.json", limit=1 << 20))) == {"C2"}
    opened = [name for name in told.container("evidence-lab-S2.zip").names if not name.startswith("packages/")]
    assert not [name for name in opened if "C5" in name or "C6" in name or "view" in name]


def test_what_a_vanished_auditor_owes_is_opened_by_its_holders(told: Told) -> None:
    release = json.loads((told.folder / "escrow-release-C2.json").read_text())
    assert (release["class"], len(release["releases"])) == ("C2", 2)
    at = json.loads(json_payload(release["releases"][0]))["releasedAt"]
    owed = told.verified("evidence-S1.zip", "--at", at)
    assert owed["exitCode"] == 51
    opened = told.verified("evidence-S1.zip", "--at", at, "--escrow", "escrow-release-C2.json")
    assert opened["exitCode"] == 0
    shown = json.loads((told.folder / "report-S2.json").read_text())
    assert opened["figures"][0] == shown["claims"]["results"][0]
    assert not (told.folder / "alone.json").exists()


def test_the_forgery_is_caught(told: Told) -> None:
    report = told.verified("forged.zip")
    assert report["exitCode"] == 20
    failed = {check["reason"] for check in report["checks"] if check["status"] == "fail"}
    assert failed >= {"SIGNATURE_INVALID", "COMMITMENT_MISMATCH"}


def json_payload(envelope: dict[str, Any]) -> bytes:
    return parse_envelope(json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()).payload
