"""C2SP signed notes: a text and the signatures under it, in exactly one form.

Format: https://c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from attestations.errors import MalformedEnvelope, SizeLimitExceeded

MAX_NOTE_BYTES = 16_384
MAX_NOTE_SIGNATURES = 32
KEY_HASH_BYTES = 4
ED25519 = 0x01
COSIGNATURE = 0x04
_NAME = re.compile(r"^[^\s+\u2014]{1,160}$")
_DASH = "\u2014 "


class NoteSignature(NamedTuple):
    """One signature line: who claims to have signed, a hint of the key, and the signature."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A text that ends in a line feed, and the signatures under it."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_text(self) -> str:
        """Return the note's only form."""
        lines = [
            f"{_DASH}{item.name} {base64.b64encode(item.key_hash + item.signature).decode()}\n"
            for item in self.signatures
        ]
        return f"{self.text}\n{''.join(lines)}"

    def with_signature(self, signature: NoteSignature) -> Note:
        """Return the note with one more signature; a signature by the same name and key is replaced."""
        kept = tuple(
            item for item in self.signatures if (item.name, item.key_hash) != (signature.name, signature.key_hash)
        )
        return Note(self.text, (*kept, signature))


def key_hash(name: str, kind: int, public: bytes) -> bytes:
    """Return the 4-byte hint of a key: SHA-256(name || 0x0A || kind || public)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:KEY_HASH_BYTES]


def is_key_name(name: str) -> bool:
    """Tell whether a key may have this name: no spaces, no plus signs, at most 160 characters."""
    return _NAME.fullmatch(name) is not None


def parse_note(data: bytes | str) -> Note:
    """Read a signed note.

    Raises:
        SizeLimitExceeded: more than 16 KiB.
        MalformedEnvelope: not a note in its one form.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_NOTE_BYTES:
        raise SizeLimitExceeded("a signed note is larger than 16 KiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedEnvelope("a signed note that is not UTF-8") from None
    body, separator, tail = text.rpartition("\n\n")
    if not separator or not tail.endswith("\n") or any(ord(letter) < 0x20 and letter != "\n" for letter in text):  # noqa: PLR2004
        raise MalformedEnvelope("not a signed note")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        raise SizeLimitExceeded("a signed note with more than 32 signatures")
    note = Note(body + "\n", tuple(_signature(line) for line in lines))
    if note.to_text() != text:
        raise MalformedEnvelope("a signed note that is not in its one form")
    return note


def _signature(line: str) -> NoteSignature:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not is_key_name(name):
        raise MalformedEnvelope("a malformed signature line in a signed note")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedEnvelope("a signature line that is not base64") from None
    if len(decoded) <= KEY_HASH_BYTES:
        raise MalformedEnvelope("a signature line without a signature")
    return NoteSignature(name, decoded[:KEY_HASH_BYTES], decoded[KEY_HASH_BYTES:])
