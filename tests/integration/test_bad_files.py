"""Files that are not what they should be, given to the reader: one sentence, a code, bounded time and memory."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from attestations.errors import ExitCode
from attestations.identity import Identity
from tests.support.world import World
from tests.support.world_agreement import keys, party
from tests.support.world_suite import make_tasks

MEGABYTE = 1 << 20


class Done(NamedTuple):
    """How a command ended, and the most memory it had."""

    code: int
    out: str
    err: str
    peak: int
    seconds: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evidence")
    world = World(tasks=make_tasks(8, size=8)).build()
    (path / "good.zip").write_bytes(world.evidence("S2"))
    identities = []
    for role, signers in (("lab", keys().lab()), ("auditor", keys().auditor())):
        known = party(role, f"{role}.example", signers)
        identities.append(path / f"{role}.json")
        identities[-1].write_bytes(Identity(role=known.role, id=known.id, keys=known.keys).to_bytes())
    assert run(path, "trust", *(str(item) for item in identities), "--out", "trust.json").code == 0
    os.mkfifo(path / "pipe")
    (path / "loop").symlink_to("loop")
    (path / "dangling").symlink_to("nowhere")
    (path / "empty").touch()
    (path / "a-folder").mkdir()
    with (path / "sparse.zip").open("wb") as sparse:
        sparse.truncate(2 << 30)
    with (path / "sparse-tail.zip").open("wb") as sparse:
        sparse.seek(2 << 30)
        sparse.write((path / "good.zip").read_bytes())
    (path / "garbage.json").write_bytes(os.urandom(4096))
    (path / "deep.json").write_bytes(b"[" * 900_000)
    return path


def run(folder: Path, *words: str | bytes, env: dict[str, str] | None = None, **options: object) -> Done:
    """Run a command and measure it."""
    root = Path(__file__).resolve().parents[2]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "attestations.cli", *words],
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )
    out, err = (stream.read() if stream else b"" for stream in (process.stdout, process.stderr))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    return Done(
        process.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        usage.ru_maxrss * 1024,
        time.monotonic() - started,
    )


def verify(folder: Path, file: str | bytes, trust: str = "trust.json", **options: object) -> Done:
    return run(folder, "verify", file, "--trust", trust, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(folder: Path) -> Done:
    """An honest verification, to compare with."""
    done = verify(folder, "good.zip")
    assert done.code == 0, done.out
    return done


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("pipe", ExitCode.SETUP),
        ("loop", ExitCode.SETUP),
        ("dangling", ExitCode.SETUP),
        ("a-folder", ExitCode.SETUP),
        ("/dev/zero", ExitCode.SETUP),
        ("empty", ExitCode.MALFORMED),
        ("garbage.json", ExitCode.MALFORMED),
        ("sparse.zip", ExitCode.MALFORMED),
        ("sparse-tail.zip", ExitCode.MALFORMED),
    ],
)
def test_evidence_that_is_none_is_said_at_once_and_in_little_memory(
    folder: Path, plain: Done, file: str, code: ExitCode
) -> None:
    done = verify(folder, file)
    assert done.code == code, done
    assert "Traceback" not in done.out + done.err
    assert code != ExitCode.SETUP or len(done.err.splitlines()) == 1
    assert done.peak < plain.peak + 32 * MEGABYTE
    assert done.seconds < 20


@pytest.mark.parametrize("file", ["pipe", "loop", "a-folder", "/dev/zero", "empty", "garbage.json", "deep.json"])
def test_a_trust_file_that_is_none_is_said_at_once_and_in_little_memory(folder: Path, plain: Done, file: str) -> None:
    done = verify(folder, "good.zip", trust=file)
    assert done.code == ExitCode.SETUP, done
    assert len(done.err.splitlines()) == 1
    assert done.peak < plain.peak + 32 * MEGABYTE


@pytest.mark.parametrize("name", [b"\xff\xfe.zip", "[red]x[bold].zip", "a\x1b[31m\nb.zip", "ünï.zip"])
def test_any_name_of_a_file_can_be_said(folder: Path, name: str | bytes) -> None:
    missing = verify(folder, b"not-" + os.fsencode(name))
    assert (missing.code, len(missing.err.splitlines())) == (ExitCode.SETUP, 1)
    path = os.fsencode(folder) + b"/" + os.fsencode(name)
    try:
        os.link(folder / "good.zip", path)
    except OSError as error:
        if error.errno == errno.EILSEQ:
            pytest.skip("this file system holds no such name")
        raise
    done = verify(folder, name)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + missing.err


def test_a_terminal_that_lacks_a_sign_still_gets_the_report(folder: Path) -> None:
    done = verify(folder, "good.zip", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.code == 0, done.err
    assert "exit code 0" in done.out


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_stream_changes_no_exit_code(folder: Path, closed: int) -> None:
    def close() -> None:
        os.close(closed)

    for file, code in (("good.zip", 0), ("pipe", ExitCode.SETUP)):
        assert verify(folder, file, preexec_fn=close).code == code


def test_who_stops_reading_the_report_still_gets_its_exit_code(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for options in ((), ("--json",)):
        done = run(folder, "verify", "empty", "--trust", "trust.json", *options, stdout=writing)
        assert (done.code, done.err) == (ExitCode.MALFORMED, "")
    os.close(writing)


def test_a_report_that_cannot_be_written_is_no_success(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = verify(folder, "good.zip", stdout=full)
    assert (done.code, "full" in done.err) == (ExitCode.SETUP, True)


def test_without_a_home_folder_and_in_a_folder_nobody_may_write_it_verifies_all_the_same(folder: Path) -> None:
    folder.chmod(0o555)
    try:
        assert verify(folder, "good.zip").code == 0  # the environment of `run` has no HOME
        done = run(folder, "trust", "lab.json", "--out", "a-folder")
        assert (done.code, len(done.err.splitlines())) == (ExitCode.SETUP, 1)
    finally:
        folder.chmod(0o755)


def test_what_trust_replaces_stays_until_the_new_file_is_whole(folder: Path) -> None:
    before = (folder / "trust.json").read_bytes()

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    done = run(folder, "trust", "lab.json", "--out", "trust.json", preexec_fn=no_room)
    assert done.code == ExitCode.SETUP
    assert "full" in done.err
    assert (folder / "trust.json").read_bytes() == before
    assert not list(folder.glob("*.partial"))
    opened = run(folder, "open", "good.zip", "--trust", "trust.json", "--into", "opened", preexec_fn=no_room)
    assert opened.code == ExitCode.SETUP
    assert not (folder / "opened").exists()
