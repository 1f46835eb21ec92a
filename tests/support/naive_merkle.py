"""RFC 9162 section 2.1.1 word by word: slow, recursive, and plainly right."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def naive_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return MTH over leaves that are already hashed."""
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = 1
    while split * 2 < len(leaf_hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaf_hashes[:split]) + naive_root(leaf_hashes[split:])).digest()
