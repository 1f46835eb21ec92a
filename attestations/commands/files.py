"""What every command does with files and times a person names: one sentence says what is wrong with them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import typer

from attestations.documents.base import parse_time
from attestations.files import unwritable


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file, or raise `FileUnusable`."""
    try:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise unwritable(path, error) from None


def moment(text: str | None, option: str) -> datetime | None:
    """Return the instant an option names, or None if it is not given."""
    if text is None:
        return None
    try:
        found = parse_time(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter("a time is written as 2027-01-31T12:00:00Z", param_hint=option)
    return found
