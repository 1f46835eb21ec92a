"""Views: one class opened field by field, where a recipient may not have all of it.

A view has one line for every committed field of its class: an opening, from which anybody computes the commitment
again, or a hole, which says which commitment stays closed, why and by whom. So nothing can be left out unseen, and
nothing can be put in. `docs/spec/disclosure.md` is the normative page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import SALT_BYTES, FreshSalts
from attestations.digests import sha256
from attestations.documents.base import decode, encode
from attestations.documents.disclosing import ReasonCode
from attestations.documents.engagement import ReleasedView
from attestations.errors import MalformedEnvelope, WeakSalt

MEMBER = "view.jsonl"
TRANSCRIPTS = "C7"
VIEWED_CLASSES = ("C3", "C5", "C6", "C7", "C8", "C9")
REASONS = frozenset(get_args(ReasonCode))
CLOSERS = ("auditor", "lab", "regulator")

_OPENING = {"class", "i", "path", "salt", "value"}
_HOLE = {"by", "class", "commitment", "i", "path", "reason"}
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Opening(NamedTuple):
    """One open field; `salt` and `value` give its commitment."""

    cls: str
    i: int
    path: str
    salt: bytes
    value: Any

    def to_line(self) -> bytes:
        """Return the opening as a line without its line feed."""
        value = {"class": self.cls, "i": self.i, "path": self.path, "salt": encode(self.salt), "value": self.value}
        return canonical_bytes(value)


class Hole(NamedTuple):
    """One closed field: its commitment, why it is closed and by whom."""

    cls: str
    i: int
    path: str
    commitment: str
    reason: str
    by: str

    def to_line(self) -> bytes:
        """Return the hole as a line without its line feed."""
        return canonical_bytes(
            {
                "by": self.by,
                "class": self.cls,
                "commitment": self.commitment,
                "i": self.i,
                "path": self.path,
                "reason": self.reason,
            }
        )


@dataclass
class Counted:
    """How much of a class a view opens, and why the rest is closed."""

    opened: int = 0
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (reason, by whom)

    def add(self, item: Opening | Hole) -> None:
        """Count one line."""
        if isinstance(item, Opening):
            self.opened += 1
        else:
            self.closed[item.reason, item.by] += 1

    def text(self, content_class: str) -> str:
        """Return the counts in plain words."""
        why = ", ".join(f"{count} {reason} by the {by}" for (reason, by), count in sorted(self.closed.items()))
        total = sum(self.closed.values())
        return f"{content_class}: {self.opened} fields open, {total} closed" + (f" ({why})" if why else "")

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON types."""
        closed = [{"reason": reason, "by": by, "fields": n} for (reason, by), n in sorted(self.closed.items())]
        return {"opened": self.opened, "closed": closed}


def parse_line(data: bytes) -> Opening | Hole:
    """Read one line of a view; nothing in it is believed until it is compared with its commitment.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
        WeakSalt: its salt is not 32 bytes.
    """
    value = parse_canonical(data)
    if not isinstance(value, dict) or value.keys() not in (_OPENING, _HOLE):
        raise MalformedEnvelope("a line of a view holds exactly an opening or a hole", member=MEMBER)
    cls, i, path = value["class"], value["i"], value["path"]
    if type(i) is not int or i < 0 or not isinstance(path, str) or not _PATH.fullmatch(path) or type(cls) is not str:
        raise MalformedEnvelope("a line of a view names no field", member=MEMBER)
    if "salt" in value:
        return Opening(cls, i, path, _salt(value["salt"]), value["value"])
    commitment, reason, by = value["commitment"], value["reason"], value["by"]
    if not isinstance(commitment, str) or not _HEX.fullmatch(commitment):
        raise MalformedEnvelope("a hole names a commitment of 64 hex digits", member=MEMBER)
    if reason not in REASONS or by not in CLOSERS:
        raise MalformedEnvelope("a hole names its reason and who closed it", member=MEMBER)
    return Hole(cls, i, path, commitment, reason, by)


def released_view(lines: Iterable[bytes]) -> ReleasedView:
    """Return what a release says of one class's lines (without line feeds)."""
    counted, kept = Counted(), bytearray()
    for line in lines:
        counted.add(parse_line(line))
        kept += line + b"\n"
    return ReleasedView(digest=sha256(bytes(kept)), opened=counted.opened, closed=sum(counted.closed.values()))


def parse_view(lines: Iterable[bytes]) -> Iterator[Opening | Hole]:
    """Give the lines of a view; salts may not repeat.

    Raises:
        WeakSalt: one salt opens two fields.
        MalformedEnvelope: the lines are not sorted by class, task and path, each once.
    """
    last: tuple[str, int, str] | None = None
    salts = FreshSalts()
    for line in lines:
        item = parse_line(line)
        place = (item.cls, item.i, item.path)
        if last is not None and place <= last:
            raise MalformedEnvelope("the lines of a view are sorted by class, task and path", member=MEMBER)
        last = place
        if isinstance(item, Opening):
            salts.take(item.salt, task=str(item.i), path=item.path)
        yield item


def _salt(text: object) -> bytes:
    try:
        salt = decode(text) if isinstance(text, str) else b""
    except ValueError:
        raise MalformedEnvelope("a salt that is not base64", member=MEMBER) from None
    if encode(salt) != text:
        raise MalformedEnvelope("a salt that is not base64 in its one form", member=MEMBER)
    if len(salt) != SALT_BYTES:
        raise WeakSalt("a salt that is not 32 bytes", member=MEMBER)
    return salt
