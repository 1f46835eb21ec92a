"""What stands in a transcript log: one leaf for each thing that happened, as bytes that are hashed and never rewritten.

`docs/spec/log.md` lists the kinds. The last document of every leaf is signed by the lab's record key
and holds the leaf's index and the lab's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.envelope import Envelope, envelope_from_json
from attestations.errors import MalformedEnvelope, SizeLimitExceeded

MAX_LEAF_BYTES = 65_535  # tlog-tiles entry bundles give each entry a 16-bit length

Kind = Literal[
    "registration",
    "draw",
    "runtime",
    "session",
    "promise",
    "refusal",
    "record",
    "close",
    "grades",
    "manifest",
    "delivery",
    "event",
    "release",
    "statement",
    "amendment",
    "termination",
    "escrow",
    "escrow_verified",
    "variant_destroyed",
]
KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True)
class LogEntry:
    """One leaf: its kind and the signed documents that make it up."""

    kind: Kind
    documents: tuple[Envelope, ...]

    def to_bytes(self) -> bytes:
        """Return the leaf's bytes.

        Raises:
            SizeLimitExceeded: the documents do not fit into one leaf.
        """
        data = canonical_bytes({"docs": [document.to_json() for document in self.documents], "kind": self.kind})
        if len(data) > MAX_LEAF_BYTES:
            raise SizeLimitExceeded("a log entry is larger than 65535 bytes", kind=self.kind)
        return data


def parse_entry(data: bytes) -> LogEntry:
    """Read a leaf's exact bytes; nothing in it is trusted until its signatures are checked.

    Raises:
        SizeLimitExceeded, MalformedEnvelope, NonCanonicalDocument, DuplicateKey: it is not a leaf.
    """
    value = parse_canonical(data, limit=MAX_LEAF_BYTES)
    if not isinstance(value, dict) or set(value) != {"docs", "kind"}:
        raise MalformedEnvelope("a log entry holds exactly `docs` and `kind`")
    kind, documents = value["kind"], value["docs"]
    if kind not in KINDS or not isinstance(documents, list) or not 1 <= len(documents) <= 2:  # noqa: PLR2004
        raise MalformedEnvelope("a log entry of an unknown kind or without documents")
    return LogEntry(kind=kind, documents=tuple(envelope_from_json(document) for document in documents))
