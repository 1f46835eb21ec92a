"""An archive that is not of the one form is refused at once and in little memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest

from attestations.errors import ExitCode
from attestations.verify.engine import Request, verify_path
from tests.support.world import World, packed
from tests.support.world_agreement import trust
from tests.support.world_suite import make_tasks

MAX_SECONDS, MAX_BYTES = 2.0, 100 << 20  # of CPU: what else the machine does is no matter
LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")


@cache
def good() -> bytes:
    return World(tasks=make_tasks(10, size=16)).evidence("S2")


@cache
def members() -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(good())) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def archive(
    content: Sequence[tuple[str, bytes]],
    *,
    flags: int = 0,
    method: int = 0,
    size: int | None = None,
    extra: bytes = b"",
    comment: bytes = b"",
    offset: int | None = None,
    version: int = 20,
) -> bytes:
    """An archive with one field of its headers as it must not be."""
    body, directory = b"", b""
    for name, data in content:
        encoded, start = name.encode(), len(body) if offset is None else offset
        stated = len(data) if size is None else size
        crc = zlib.crc32(data)
        body += LOCAL.pack(
            b"PK\x03\x04", version, flags, method, 0, 0x21, crc, stated, stated, len(encoded), len(extra)
        )
        body += encoded + extra + data
        directory += CENTRAL.pack(
            b"PK\x01\x02", version, version, flags, method, 0, 0x21, crc, stated, stated, len(encoded), len(extra),
            len(comment), 0, 0, 0, start,
        )  # fmt: skip
        directory += encoded + extra + comment
    count = len(content)
    return body + directory + END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)


def zipped(**options: int) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", **options) as opened:  # type: ignore[call-overload]
        for name, data in members().items():
            opened.writestr(name, data)
    return out.getvalue()


def bomb() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
        for name in members():
            opened.writestr(name, bytes(20 << 20))
    return out.getvalue()


def with_comment() -> bytes:
    out = BytesIO(good())
    with zipfile.ZipFile(out, "a") as opened:
        opened.comment = b"free bytes"
    return out.getvalue()


def traversing(name: str) -> bytes:
    return archive([*members().items(), (name, b"x")])


TRICKS: dict[str, Callable[[], bytes]] = {
    "comment": with_comment,
    "comment of a member": lambda: archive(list(members().items()), comment=b"c"),
    "extra field": lambda: archive(list(members().items()), extra=b"\x99\x99\x00\x00"),
    "zip64 sizes": lambda: archive(list(members().items()), size=0xFFFFFFFF),
    "zip64 version": lambda: archive(list(members().items()), version=45),
    "two directories": lambda: good() + good()[good().index(b"PK\x01\x02") :],
    "two archives": lambda: good() + good(),
    "overlapping members": lambda: archive(list(members().items()), offset=0),
    "deflate bomb": bomb,
    "deflated": lambda: zipped(compression=zipfile.ZIP_DEFLATED),
    "stored by another writer": lambda: zipped(compression=zipfile.ZIP_STORED),
    "encrypted": lambda: archive(list(members().items()), flags=1),
    "data descriptor": lambda: archive(list(members().items()), flags=8),
    "utf-8 flag": lambda: archive(list(members().items()), flags=0x800),
    "method": lambda: archive(list(members().items()), method=8),
    "path traversal": lambda: traversing("../../etc/passwd"),
    "absolute path": lambda: traversing("/etc/passwd"),
    "folder": lambda: traversing("packages/"),
    "name of another system": lambda: traversing("packages\\C2.sealed"),
    "name that is not text": lambda: traversing("\x00"),
    "huge size": lambda: archive(list(members().items()), size=0x7FFFFFFF),
    "huge directory": lambda: bytes(50 << 20) + END.pack(b"PK\x05\x06", 0, 0, 15, 15, (50 << 20), 0, 0),
    "leading bytes": lambda: b"#!/bin/sh\n" + good(),
    "trailing bytes": lambda: good() + b"\n",
    "no members": lambda: END.pack(b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0),
    "nothing": lambda: b"",
    "another disk": lambda: good()[:-22] + struct.pack("<4sHH", b"PK\x05\x06", 1, 1) + good()[-14:],
    "text": lambda: b"not an archive at all, only words that go on for longer than a directory's end",
}


def measured(stream: BinaryIO) -> ExitCode:
    """Verify within the bounds on time and memory."""
    trusted = trust()
    tracemalloc.start()
    started = time.process_time()
    code = verify_path(stream, trusted, Request()).exit_code
    seconds, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < MAX_SECONDS
    assert peak < MAX_BYTES
    return code


def test_the_form_itself_is_what_the_writer_makes() -> None:
    assert good() == archive(list(members().items()))


@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_refused(trick: str) -> None:
    assert measured(BytesIO(TRICKS[trick]())) == ExitCode.MALFORMED


@pytest.mark.parametrize("size", [2 << 30, (4 << 30) + (1 << 20)])
def test_a_file_of_gigabytes_is_refused_unread(tmp_path: Path, size: int) -> None:
    path = tmp_path / "evidence.zip"
    with path.open("wb") as out:
        out.write(good())
        out.truncate(size)
    with path.open("rb") as stream:
        assert measured(stream) == ExitCode.MALFORMED


@pytest.mark.parametrize("name", ["log.jsonl", "agreement.dsse.json", "packages/C7.sealed", "keys.json"])
def test_a_member_of_gigabytes_is_refused_unread(tmp_path: Path, name: str) -> None:
    """In an archive of the one form: only the directory and what is signed tell that it does not belong."""
    path, size = tmp_path / "evidence.zip", 2 << 30
    directory, position = b"", 0
    with path.open("wb") as out:
        for member, data in members().items():
            stated = size if member == name else len(data)
            encoded, crc = member.encode(), zlib.crc32(data)
            header = LOCAL.pack(b"PK\x03\x04", 20, 0, 0, 0, 0x21, crc, stated, stated, len(encoded), 0) + encoded
            out.write(header + data)
            directory += CENTRAL.pack(
                b"PK\x01\x02", 20, 20, 0, 0, 0, 0x21, crc, stated, stated, len(encoded), 0, 0, 0, 0, 0, position
            )
            directory += encoded
            position += len(header) + stated
            out.seek(position)
        count = len(members())
        out.write(directory + END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), position, 0))
    with path.open("rb") as stream:
        assert measured(stream) in {ExitCode.MALFORMED, ExitCode.COMMITMENT_MISMATCH}


def test_a_log_without_line_feeds_is_refused_in_little_memory() -> None:
    content = members() | {"log.jsonl": bytes(30 << 20)}
    assert measured(BytesIO(packed(content))) == ExitCode.MALFORMED
