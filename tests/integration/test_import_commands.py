"""`suite import` as a person runs it: the guide's own commands, and files that are not what they should be."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
from pathlib import Path

import pytest

from attestations.errors import ExitCode, SafeconductError
from auditor_client.suites.importers.catalogue import FORMATS
from auditor_client.suites.importers.mapping import parse_mapping
from auditor_client.suites.importers.options import Options
from tests.support import forking
from tests.support.import_files import imported, lines

SECRET = "xyzzy-hidden"
_FENCED = re.compile(r"^```(\S+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^ +\$ (safeconduct .*)$", re.MULTILINE)


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forking.run(words, cwd=folder)


def test_the_guides_commands_work_on_the_guides_files(tmp_path: Path, repository: Path) -> None:
    guide = (repository / "docs/guides/suites.md").read_text()
    for _, name, text in _FENCED.findall(guide):
        (tmp_path / name).write_text(text)
    commands = _COMMAND.findall(guide)

    assert {"capitals.csv", "questions.jsonl"} <= {path.name for path in tmp_path.iterdir()}
    assert len(commands) >= 4
    for command in commands:
        done = ran(tmp_path, *shlex.split(command)[1:])
        assert (done.returncode, done.stderr) == (ExitCode.OK, ""), command
        if "--json" in command:
            assert "findings" in json.loads(done.stdout)


def test_an_import_says_what_it_did_and_nothing_of_the_items(tmp_path: Path) -> None:
    rows = [{"question": f"{SECRET}: what is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(20)]
    lines(tmp_path / "sums.jsonl", *rows, {"question": SECRET, "answer": SECRET}, f"{SECRET} no")
    done = ran(tmp_path, "auditor", "suite", "import", "gsm8k", "sums.jsonl", "--into", "suite")

    assert done.returncode == ExitCode.OK
    assert "22 items read, 20 kept, 2 left out" in done.stdout
    assert re.search(r"not-json +1 +sums\.jsonl 22", done.stdout)
    assert SECRET not in done.stdout + done.stderr


def test_exit_codes_tell_a_bad_source_from_a_bad_command(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", "no")
    for words, code in (
        (("gsm8k", "x.jsonl", "--into", "s"), ExitCode.SETUP),
        (("gsm8k", "x.jsonl", "--into", "s", "--metric", "mc1"), ExitCode.USAGE),
        (("gsm8k", "x.jsonl", "--into", "s", "--nearest"), ExitCode.USAGE),
        (("inspect", "x.py@task", "--into", "s", "--licence", "CC0-1.0"), ExitCode.USAGE),
    ):
        done = ran(tmp_path, "auditor", "suite", "import", *words)
        assert code == done.returncode
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "empty-folder").mkdir()
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(2 << 30)
    (folder / "long-line").write_bytes(b"x" * (3 << 20))
    (folder / "open-cell").write_bytes(b'question,choices,answer\n"' + (b"x" * 99 + b"\n") * 10_000)
    (folder / "wide").write_bytes(b"question,answer" + b",x" * 1000 + b"\n")
    (folder / "nul").write_bytes(b'{"question": "\0", "answer": "1"}\n')
    (folder / "latin").write_bytes(b'{"question": "\xe9", "answer": "1"}\n')
    (folder / "utf-16").write_bytes('{"question": "a", "answer": "1"}\n'.encode("utf-16"))
    (folder / "deep").write_bytes(b"[" * 900_000)
    (folder / "wrong").write_text('{"examples": 7}\n')
    return folder


BAD = (
    *("pipe", "loop", "dangling", "empty-folder", "sparse", "long-line", "open-cell", "wide", "nul", "latin"),
    *("utf-16", "deep", "wrong", "missing", "/dev/zero", "/dev/null", "a\0b"),
)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("bad", BAD)
def test_a_source_that_is_none_is_one_sentence(hostile: Path, tmp_path: Path, name: str, bad: str) -> None:
    options = Options(mapping=parse_mapping("question=question,answer=answer") if name == "jsonl" else None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SafeconductError) as caught:
        imported(name, hostile / bad, tmp_path / "suite", options=options)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert caught.value.exit_code == ExitCode.SETUP
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert grown < 200 << 10  # KiB


def test_a_folders_links_are_not_followed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    lines(tmp_path / "outside.jsonl", {"question": "What is 2 + 2?", "answer": "4"})
    lines(source / "inside.jsonl", {"question": "What is 1 + 1?", "answer": "2"})
    (source / "link.jsonl").symlink_to(tmp_path / "outside.jsonl")
    (source / "circle").symlink_to(source)
    os.mkfifo(source / "pipe.jsonl")

    report = imported("gsm8k", source, tmp_path / "suite")
    assert [item.file for item in report.sources] == ["inside.jsonl"]
