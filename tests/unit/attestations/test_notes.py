"""Signed notes are read in one form only."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, strategies as st

from attestations.errors import MalformedEnvelope, SafeconductError, SizeLimitExceeded
from attestations.notes import ED25519, MAX_NOTE_BYTES, Note, NoteSignature, is_key_name, key_hash, parse_note

LINE = "\u2014 lab.example " + base64.b64encode(bytes(68)).decode() + "\n"
TEXT = "lab.example\n1\nroot\n"


def test_a_note_is_read_back_as_it_was_written() -> None:
    note = Note("one\n\ntwo\n", (NoteSignature("a", b"1234", b"sig"), NoteSignature("b", b"5678", b"s")))
    assert note == parse_note(note.to_text())
    assert note == parse_note(note.to_text().encode())


def test_a_key_hash_is_the_hash_c2sp_spells_out() -> None:
    expected = hashlib.sha256(b"lab.example\n\x01" + bytes(32)).digest()[:4]
    assert expected == key_hash("lab.example", ED25519, bytes(32))


def test_a_second_signature_by_one_key_replaces_the_first() -> None:
    note = parse_note(TEXT + "\n" + LINE)
    again = note.with_signature(NoteSignature("lab.example", bytes(4), b"new"))
    assert (NoteSignature("lab.example", bytes(4), b"new"),) == again.signatures


@pytest.mark.parametrize(
    "data",
    [
        "",
        "\n",
        TEXT,
        TEXT + "\n",
        TEXT + LINE,
        TEXT + "\n" + LINE[:-1],
        TEXT + "\n" + LINE + "\n",
        TEXT.replace("\n", "\r\n") + "\n" + LINE,
        TEXT + "\x00\n\n" + LINE,
        TEXT + "\n" + LINE.replace("\u2014", "-"),
        TEXT + "\n" + LINE.replace("\u2014 ", "\u2014"),
        TEXT + "\n" + LINE.replace("lab.example", ""),
        TEXT + "\n" + LINE.replace("lab.example", "lab+example"),
        TEXT + "\n" + LINE.replace("A=\n", "B=\n"),
        TEXT + "\n" + LINE.replace("=", ""),
        TEXT + "\n" + LINE.replace(" A", "  A", 1),
        TEXT + "\n\u2014 lab.example AAAAAA==\n",
        TEXT + "\n\u2014 lab.example !!!!\n",
        "\ud800\n\n" + LINE,
        b"\xff\n\n" + LINE.encode(),
    ],
)
def test_any_other_form_is_refused(data: str | bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_note(data)


def test_a_note_is_bounded() -> None:
    with pytest.raises(SizeLimitExceeded):
        parse_note("x" * MAX_NOTE_BYTES + "\n\n" + LINE)
    with pytest.raises(SizeLimitExceeded):
        parse_note(TEXT + "\n" + LINE * 33)


@given(st.text(max_size=60) | st.binary(max_size=60) | st.text(max_size=9).map(lambda text: text + "\n\n" + LINE))
def test_any_bytes_give_a_note_or_our_error(data: str | bytes) -> None:
    try:
        note = parse_note(data)
    except SafeconductError:
        return
    assert note.to_text() == (data if isinstance(data, str) else data.decode())


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\n", "a\u2014b", "x" * 161])
def test_a_name_no_key_may_have_is_recognised(name: str) -> None:
    assert not is_key_name(name)
