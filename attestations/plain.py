"""Text that somebody else wrote, as a terminal may show it: what cannot be seen, or moves the cursor, is named."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return a text of one line in which control, direction and line-break characters are named, as `[U+001B]`."""
    return "".join(letter if letter.isprintable() else f"[U+{ord(letter):04X}]" for letter in text)
