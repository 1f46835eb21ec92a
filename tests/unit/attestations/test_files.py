"""Reading and writing at the edge: nothing waits for ever, nothing is half written, and a log is never in the way."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from attestations.errors import FileUnusable
from attestations.files import Lines, because, is_full, open_file, read_file, shown, write_file


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link") == b"content"
    for name in ("pipe", "gone", ".", "null\0byte"):
        with pytest.raises(FileUnusable, match="cannot be read"):
            open_file(tmp_path / name)
    with pytest.raises(FileUnusable, match="no regular file"):
        read_file(Path("/dev/zero"))


def test_no_more_is_read_than_shows_that_it_is_too_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    assert len(read_file(tmp_path / "file", 10)) == 11
    assert len(read_file(tmp_path / "file", 100)) == 100


def test_a_file_that_cannot_be_completed_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")

    def parts() -> list[bytes]:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Failing:
        def __iter__(self) -> object:
            return iter(parts())

    with pytest.raises(FileUnusable, match="the disk is full"):
        write_file(target, Failing())  # type: ignore[arg-type]
    assert (target.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"before", ["file"])
    write_file(target, [b"af", b"ter"])
    assert (target.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"after", ["file"])


def test_why_is_said_in_words() -> None:
    assert because(OSError(errno.EDQUOT, "Disk quota exceeded")) == "the disk is full"
    assert is_full(OSError(errno.EFBIG, "File too large"))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert because(OSError(errno.EACCES, "Permission denied")) == "Permission denied"
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.Error) as full:
        database.execute("CREATE TABLE t (x)")
    database.close()
    assert because(full.value) == "the disk is full"


def test_a_name_is_shown_on_one_line_whatever_is_in_it() -> None:
    assert shown("a\x1b[31m\nb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
    assert shown(os.fsdecode(b"\xff.zip")) == "\N{REPLACEMENT CHARACTER}.zip"
    assert shown(Path("ünï.zip")) == "ünï.zip"


_FULL_LOG = """
import resource, sys
from pathlib import Path
from attestations.files import Lines
log = Lines(Path(sys.argv[1]))
log.write("one\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))
log.write("two three\\n")
log.write("four\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write("five\\n")
log.flush()
log.close()
print(log.lost)
"""


def test_a_log_on_a_full_disk_loses_lines_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", _FULL_LOG, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "2\n"
    assert path.read_text().splitlines() == ["one", "two ", "five"]  # the torn line ends before the next begins


def test_a_log_is_for_its_owner_and_takes_any_text(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    log = Lines(tmp_path / "log")
    log.write("half a character \ud800\n")
    log.close()
    assert (tmp_path / "log").read_text() == "half a character \\ud800\n"
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
