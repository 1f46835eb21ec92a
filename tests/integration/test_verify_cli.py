"""The reader's commands: what they print, what they return, and that they need neither network nor clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attestations.documents.base import encode
from attestations.errors import ExitCode
from attestations.identity import Identity
from tests.support import forking
from tests.support.world import STAGES, Hooks, World
from tests.support.world_agreement import keys, party
from tests.support.world_suite import make_tasks, refusing

# Every way to a network is gone before the program is imported.
_OFFLINE = """
import socket, sys
def refuse(*_, **__):
    raise RuntimeError("the verifier opened a socket")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
socket.socket = refuse
from attestations.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evidence of every stage of one honest audit, and the identity files of both parties."""
    path = tmp_path_factory.mktemp("evidence")
    world = World(tasks=make_tasks(20, size=24)).build()
    for stage in STAGES:
        (path / f"evidence-{stage}.zip").write_bytes(world.evidence(stage))
    for name, role, signers in (("lab", "lab", keys().lab()), ("auditor", "auditor", keys().auditor())):
        known = party(role, f"{name}.example", signers)
        (path / f"{name}.json").write_bytes(Identity(role=known.role, id=known.id, keys=known.keys).to_bytes())
    done = run(path, "trust", "lab.json", "auditor.json", "--out", "trust.json")
    assert done.returncode == ExitCode.OK, done.stderr
    return path


def run(
    folder: Path, *arguments: str, program: str | None = None, columns: str = "120"
) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "COLUMNS": columns, "PATH": "/usr/bin:/bin"}
    if program is None:
        return forking.run(arguments, cwd=folder, env=environment)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def verify(folder: Path, name: str, *options: str, program: str | None = None) -> subprocess.CompletedProcess[str]:
    return run(folder, "verify", name, "--trust", "trust.json", *options, program=program)


@pytest.mark.parametrize("stage", STAGES)
def test_an_honest_file_holds(folder: Path, stage: str) -> None:
    done = verify(folder, f"evidence-{stage}.zip")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "every check that can be made at this stage holds (exit code 0)" in done.stdout
    assert f"stage {stage}, for REGULATOR" in done.stdout


def test_cryptography_figures_policy_and_assurance_are_printed_apart(folder: Path) -> None:
    shown = verify(folder, "evidence-S5.zip").stdout
    titles = ["Integrity", "Model and runtime", "Figures", "Disclosure policy", "Assurance", "Derived assurance"]
    places = [shown.index(title) for title in [*titles, "Published figures", "Not proven"]]
    assert places == sorted(places)
    assert "effective access: 0 business days" in shown  # T081
    assert "RA0" in shown[places[-1] :]
    assert "Sandbagging was not assessed" in shown


def test_what_is_sealed_says_from_when_it_can_be_checked(folder: Path) -> None:
    """T121."""
    shown = verify(folder, "evidence-S1.zip").stdout
    assert "tasks are sealed until S4" in shown
    assert "figures are sealed until S2" in shown
    assert "Published figures" not in shown


def test_the_report_as_json_says_the_same(folder: Path) -> None:
    report = json.loads(verify(folder, "evidence-S3.zip", "--json").stdout)
    assert (report["exitCode"], report["stage"], report["recipient"]) == (0, "S3", "REGULATOR")
    assert [check["step"] for check in report["checks"]] == sorted(check["step"] for check in report["checks"])
    assert report["claims"]["results"][0]["id"] == "overall"
    assert report["limitations"]


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_network_the_report_is_the_same_byte_for_byte(folder: Path, stage: str) -> None:
    """T125."""
    name = f"evidence-{stage}.zip"
    online, offline = verify(folder, name, "--json"), verify(folder, name, "--json", program=_OFFLINE)
    assert offline.returncode == ExitCode.OK, offline.stderr
    assert online.stdout == offline.stdout


def test_the_program_of_that_test_refuses_sockets(folder: Path) -> None:
    """T125: what the comparison rests on."""
    opens = _OFFLINE.replace("main(sys.argv[1:])", "socket.create_connection(('127.0.0.1', 9))")
    done = run(folder, "verify", program=opens)
    assert "the verifier opened a socket" in done.stderr


def test_figures_of_a_file_that_does_not_hold_are_not_shown(folder: Path) -> None:
    def ruled_out(results: tuple[object, ...]) -> tuple[object, ...]:
        return (results[0].model_copy(update={"verdict": "ruledOut"}), *results[1:])  # type: ignore[attr-defined]

    world = World(tasks=make_tasks(20, size=24), model=refusing, hooks=Hooks(alter={"results": ruled_out}))
    (folder / "over.zip").write_bytes(world.evidence("S2"))
    done = verify(folder, "over.zip")
    assert done.returncode == ExitCode.CONTROLS_FAILED
    assert "[CLAIM_UNINTERPRETABLE]" in done.stdout.replace("\n", "")
    assert "not shown: the evidence does not hold" in done.stdout
    assert "n=14" not in done.stdout
    assert json.loads(verify(folder, "over.zip", "--json").stdout)["claims"] is None


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--stage", "S5"), ExitCode.INDETERMINATE),
        (("--stage", "S2"), ExitCode.OK),
        (("--stage", "S9"), ExitCode.USAGE),
        (("--require", "CO>=2", "--require", "PR>=1"), ExitCode.OK),
        (("--require", "EL>=3"), ExitCode.POLICY_NOT_MET),
        (("--require", "sandbagging"), ExitCode.POLICY_NOT_MET),
        (("--require", "CO=2"), ExitCode.USAGE),
        (("--at", "2026-11-06T10:00:00Z"), ExitCode.OK),
        (("--at", "2026-12-24T00:00:00Z"), ExitCode.DISCLOSURE_OVERDUE),
        (("--at", "yesterday"), ExitCode.USAGE),
        (("--wrong",), ExitCode.USAGE),
    ],
)
def test_every_option_has_its_exit_code(folder: Path, options: tuple[str, ...], code: ExitCode) -> None:
    done = verify(folder, "evidence-S2.zip", *options)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_policys_state_at_another_time_needs_no_clock(folder: Path) -> None:
    """T092: overdue later, although it is not now."""
    shown = verify(folder, "evidence-S2.zip", "--at", "2026-12-24T00:00:00Z").stdout
    assert "[DISCLOSURE_OVERDUE]" in shown.replace("\n", "")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("absent.zip", None, ExitCode.SETUP),
        ("empty.zip", b"", ExitCode.MALFORMED),
        ("text.zip", b"hello", ExitCode.MALFORMED),
    ],
)
def test_what_is_no_evidence_file_is_one_sentence(
    folder: Path, name: str, content: bytes | None, code: ExitCode
) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    done = verify(folder, name)
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr


def test_a_folder_is_no_evidence_file(folder: Path) -> None:
    assert run(folder, "verify", ".", "--trust", "trust.json").returncode == ExitCode.SETUP


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v":"safeconduct-trust/v1","parties":[]}', "\ud800"])
def test_a_trust_file_that_is_none_is_said(folder: Path, text: str) -> None:
    (folder / "bad.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    done = run(folder, "verify", "evidence-S1.zip", "--trust", "bad.json")
    assert done.returncode == ExitCode.SETUP
    assert "CONFIGURATION_INVALID" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_key_of_small_order_is_never_trusted(folder: Path) -> None:
    small = bytes.fromhex("302a300506032b6570032100") + bytes([1]) + bytes(31)
    identity = json.loads((folder / "lab.json").read_text())
    for key in identity["keys"]:
        if key["use"] == "log":
            key["public"] = encode(small)
    (folder / "small.json").write_text(json.dumps(identity))
    done = run(folder, "trust", "small.json", "--out", "never.json")
    assert done.returncode == ExitCode.ROLE_OR_TRUST_MISSING
    assert "KEY_UNACCEPTABLE" in done.stderr
    assert not (folder / "never.json").exists()


def test_trust_names_whom_it_trusts(folder: Path) -> None:
    done = run(folder, "trust", "lab.json", "--out", "one.json")
    assert "lab lab.example" in done.stdout
    assert "over another channel" in done.stdout
    assert run(folder, "verify", "evidence-S1.zip", "--trust", "one.json").returncode == (
        ExitCode.ROLE_OR_TRUST_MISSING
    )


def test_open_writes_what_the_file_opens(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "open", "evidence-S5.zip", "--trust", "trust.json", "--into", str(tmp_path / "opened"))
    assert done.returncode == ExitCode.OK, done.stderr
    names = {path.name for path in (tmp_path / "opened").iterdir()}
    assert {
        "agreement.json",
        "plan.json",
        "attestation.json",
        "grades.jsonl",
        "tasks.jsonl",
        "transcripts.jsonl",
    } == names
    transcripts = [json.loads(line) for line in (tmp_path / "opened" / "transcripts.jsonl").read_text().splitlines()]
    tasks = [json.loads(line) for line in (tmp_path / "opened" / "tasks.jsonl").read_text().splitlines()]
    assert (len(transcripts), len(tasks)) == (20, 24)
    assert "hazard-canary" not in (tmp_path / "opened" / "tasks.jsonl").read_text()
    again = run(folder, "open", "evidence-S5.zip", "--trust", "trust.json", "--into", str(tmp_path / "opened"))
    assert again.returncode == ExitCode.SETUP


def test_open_shows_no_more_than_the_stage(folder: Path, tmp_path: Path) -> None:
    run(folder, "open", "evidence-S2.zip", "--trust", "trust.json", "--into", str(tmp_path / "opened"))
    assert {path.name for path in (tmp_path / "opened").iterdir()} == {
        "agreement.json",
        "plan.json",
        "attestation.json",
    }


def test_nothing_is_opened_from_a_file_that_does_not_hold(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "evidence-S5.zip").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "flipped.zip").write_bytes(bytes(data))
    done = run(folder, "open", "flipped.zip", "--trust", "trust.json", "--into", str(tmp_path / "opened"))
    assert done.returncode == ExitCode.COMMITMENT_MISMATCH
    assert not (tmp_path / "opened").exists()


def test_evidence_in_a_pipe_is_refused_in_one_sentence(folder: Path) -> None:
    done = run(folder, "verify", "/dev/stdin", "--trust", "trust.json")
    assert done.returncode in {ExitCode.SETUP, ExitCode.MALFORMED}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["80", "120"])
@pytest.mark.parametrize("stage", ["S2", "S5"])
def test_the_report_for_people_fits_and_says_each_thing_on_a_line_of_its_own(
    folder: Path, stage: str, columns: str
) -> None:
    shown = run(folder, "verify", f"evidence-{stage}.zip", "--trust", "trust.json", columns=columns).stdout
    lines = shown.splitlines()
    assert "\x1b" not in shown  # colours are for terminals
    assert all(line == line.rstrip() for line in lines)
    checks = lines[: lines.index("In all")]
    assert max(len(line) for line in checks) <= int(columns)
    counted = lines[lines.index("In all") + 1 :][:5]
    assert [line.split(maxsplit=2)[2] for line in counted] == [
        "hold",
        "do not hold",
        "cannot be known at this stage",
        "lack what would decide them",
        "do not apply",
    ]
    numbers = [int(line.split()[1]) for line in counted]
    marks = [line.split()[0] for line in checks if line.strip() and line.split()[0] in "✓✗…?-"]
    assert numbers == [marks.count(mark) for mark in "✓✗…?-"]
    assert (numbers[1], numbers[2] > 0) == (0, stage == "S2")
    assert lines.index("Not proven") > lines.index("In all")
