"""What every command does with a file a person names to write: one sentence says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from attestations.files import unwritable


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file, or raise `FileUnusable`."""
    try:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise unwritable(path, error) from None
