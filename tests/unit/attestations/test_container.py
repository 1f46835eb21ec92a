"""The evidence file has one form: what the writer makes is read back, and every other form is refused."""

from __future__ import annotations

import random
import zipfile
from io import BytesIO

import pytest

from attestations.container import MAX_LINE_BYTES, MEMBER_NAMES, Container, Source, write_container
from attestations.errors import EvidenceMissing, MalformedEnvelope, SafeconductError, SizeLimitExceeded

CONTENT = {"index.dsse.json": b"{}", "log.jsonl": b'{"a":1}\n{"b":2}\n', "packages/C2.sealed": bytes(3000)}


def _written(content: dict[str, bytes]) -> bytes:
    out = BytesIO()
    names = [name for name in MEMBER_NAMES if name in content]
    write_container(out, [Source(name, lambda name=name: BytesIO(content[name])) for name in names])  # type: ignore[misc]
    return out.getvalue()


def _read_all(data: bytes) -> dict[str, bytes]:
    container = Container(BytesIO(data))
    return {name: b"".join(container.blocks(name)) for name in container.names}


def test_what_was_written_is_read_back() -> None:
    assert _read_all(_written(CONTENT)) == CONTENT


def test_any_unzip_program_opens_it() -> None:
    with zipfile.ZipFile(BytesIO(_written(CONTENT))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENT


def test_no_bit_is_free() -> None:
    good = _written(CONTENT)
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SafeconductError):
            _read_all(bytes(bad))


def test_no_cut_is_accepted() -> None:
    good = _written(CONTENT)
    for length in range(len(good)):
        with pytest.raises(SafeconductError):
            _read_all(good[:length])


def test_random_bytes_give_our_error() -> None:
    source = random.Random(2)
    for _ in range(300):
        with pytest.raises(SafeconductError):
            _read_all(source.randbytes(source.randrange(200)))


def _zipped(**options: int) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:  # type: ignore[call-overload]
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_other_zips_of_the_same_members_are_refused() -> None:
    comment = BytesIO(_written(CONTENT))
    with zipfile.ZipFile(comment, "a") as archive:
        archive.comment = b"free bytes"
    for tricky in (
        _zipped(compression=zipfile.ZIP_DEFLATED),
        _zipped(compression=zipfile.ZIP_STORED),
        comment.getvalue(),
        b"#!/bin/sh\n" + _written(CONTENT),
        _written(CONTENT) + b"\0",
    ):
        with pytest.raises(MalformedEnvelope):
            _read_all(tricky)


def test_members_out_of_order_are_never_written() -> None:
    sources = [Source(name, lambda: BytesIO(b"")) for name in ("log.jsonl", "index.dsse.json")]
    with pytest.raises(ValueError, match="order"):
        write_container(BytesIO(), sources)


def test_a_member_that_is_not_there_is_missing() -> None:
    with pytest.raises(EvidenceMissing):
        Container(BytesIO(_written(CONTENT))).read("keys.json", limit=10)


def test_a_member_over_its_limit_is_not_read() -> None:
    with pytest.raises(SizeLimitExceeded):
        Container(BytesIO(_written(CONTENT))).read("packages/C2.sealed", limit=2999)


def test_lines_are_read_one_by_one() -> None:
    assert list(Container(BytesIO(_written(CONTENT))).lines("log.jsonl")) == [b'{"a":1}', b'{"b":2}']


def test_a_line_without_end_is_malformed() -> None:
    with pytest.raises(MalformedEnvelope):
        list(Container(BytesIO(_written({"log.jsonl": b"{}"}))).lines("log.jsonl"))


def test_a_line_too_long_is_refused_before_it_is_kept() -> None:
    with pytest.raises(SizeLimitExceeded):
        list(Container(BytesIO(_written({"log.jsonl": b"x" * (MAX_LINE_BYTES + 1)}))).lines("log.jsonl"))


def test_who_watches_hears_how_far_each_member_is_read() -> None:
    heard: list[tuple[str, int, int]] = []
    container = Container(BytesIO(_written(CONTENT)), lambda *said: heard.append(said))
    assert list(container.lines("log.jsonl")) == [b'{"a":1}', b'{"b":2}']
    container.part("packages/C2.sealed", 1000, 500)
    assert heard == [("log.jsonl", 16, 16), ("packages/C2.sealed", 1000, 3000)]
