"""Our own copy of the log: every leaf as it was hashed, in one append-only file.

The file is only ever extended by leaves that were checked; what was not flushed when a crash came is
dropped on opening and fetched again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from attestations.documents.exchange import Meter
from attestations.errors import FileUnusable
from attestations.merkle import HASH_BYTES, Frontier, leaf_hash

_RECORD_END = b'"kind":"record"}'


class Tip(NamedTuple):
    """What the next leaf must follow."""

    size: int
    at: datetime | None
    meter: Meter | None


class Mirror:
    """The mirrored leaves, their hashes in memory (32 bytes each), and the newest time and meter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frontier = Frontier()
        self._hashes = bytearray()
        self._last_leaf: bytes | None = None
        self._last_record: bytes | None = None
        self._bytes = 0
        try:
            self._load()
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=1 << 16)
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)
        except OSError as error:
            raise FileUnusable(f"the log's copy cannot be opened: {error.strerror}", file=path.name) from None

    @property
    def size(self) -> int:
        """How many leaves are mirrored."""
        return self._frontier.size

    def root(self) -> bytes:
        """Return the root over the mirrored leaves."""
        return self._frontier.root()

    def hash_at(self, index: int) -> bytes:
        """Return the hash of a mirrored leaf.

        Raises:
            IndexError: no such leaf is mirrored.
        """
        if not 0 <= index < self.size:
            raise IndexError(index)
        return bytes(self._hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    @property
    def last_leaf(self) -> bytes | None:
        """The newest leaf."""
        return self._last_leaf

    @property
    def last_record(self) -> bytes | None:
        """The newest leaf that is a Record."""
        return self._last_record

    def append(self, leaf: bytes) -> None:
        """Add a leaf; it is not kept for good until `flush`."""
        self._file.write(leaf + b"\n")
        self._bytes += len(leaf) + 1
        self._take(leaf, leaf_hash(leaf))

    def flush(self) -> None:
        """Make every appended leaf durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def rewind(self, size: int) -> None:
        """Drop every leaf from `size` on: they turned out not to be in the signed log."""
        with suppress(OSError):  # what a full disk did not take is dropped with the rest, or fails at the truncation
            self._file.flush()
        self._frontier, self._hashes, self._bytes = Frontier(), bytearray(), 0
        self._last_leaf = self._last_record = None
        self._load(limit=size)
        self._file.truncate(self._bytes)
        self._file.seek(self._bytes)

    def leaves(self) -> Iterator[bytes]:
        """Give every leaf from the file."""
        self._file.flush()
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines):
                if number >= self.size:
                    return
                yield line[:-1]

    def close(self) -> None:
        """Close the file; what was not flushed before is fetched again."""
        with suppress(OSError):
            self._file.close()

    def leaf_at(self, index: int) -> bytes:
        """Return one leaf; it is looked for from the file's beginning."""
        return next(leaf for number, leaf in enumerate(self.leaves()) if number == index)

    def _load(self, limit: int | None = None) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n") or (limit is not None and self.size >= limit):
                    break
                self._bytes += len(line)
                leaf = line[:-1]
                self._take(leaf, leaf_hash(leaf))

    def _take(self, leaf: bytes, digest: bytes) -> None:
        self._frontier.append(digest)
        self._hashes += digest
        self._last_leaf = leaf
        if leaf.endswith(_RECORD_END):
            self._last_record = leaf
