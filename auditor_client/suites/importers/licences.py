"""Under which licence a source stands: as its importer says, as a file beside it says, or as it was published."""

from __future__ import annotations

from pathlib import Path

from attestations.errors import FileUnusable
from attestations.files import read_file

_MAX_BYTES = 1 << 20
_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING")
# The words by which a licence's own text is known, the narrower first.
_TITLES = (
    ("attribution-noncommercial-sharealike 4.0 international", "CC-BY-NC-SA-4.0"),
    ("attribution-noncommercial 4.0 international", "CC-BY-NC-4.0"),
    ("attribution-sharealike 4.0 international", "CC-BY-SA-4.0"),
    ("attribution 4.0 international", "CC-BY-4.0"),
    ("cc0 1.0 universal", "CC0-1.0"),
    ("apache license", "Apache-2.0"),
    ("mit license", "MIT"),
    ("permission is hereby granted, free of charge, to any person obtaining a copy", "MIT"),
)
UNKNOWN = "unknown"


def licence_of(source: Path, *, given: str | None, published: str | None) -> tuple[str, str]:
    """Return a licence's SPDX name, or what was given, and where it is from: `given`, `file`, `published` or `none`."""
    if given is not None:
        return given, "given"
    folder = source.absolute() if source.is_dir() else source.absolute().parent
    for near in (folder, folder.parent):  # further up, a licence is somebody else's
        for name in _FILES:
            if (found := _recognised(near / name)) is not None:
                return found, "file"
    return (published, "published") if published is not None else (UNKNOWN, "none")


def _recognised(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        text = " ".join(read_file(path, _MAX_BYTES)[:4000].decode(errors="replace").casefold().split())
    except FileUnusable:
        return None
    return next((name for title, name in _TITLES if title in text), None)
