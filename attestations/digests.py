"""How bytes become names: SHA-256, written as 64 lower-case hex digits."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import StringConstraints

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest as 64 lower-case hex digits."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def lp(data: bytes) -> bytes:
    """Return `data` behind its length as 8 big-endian bytes, so that joined fields cannot shift."""
    return len(data).to_bytes(8, "big") + data
