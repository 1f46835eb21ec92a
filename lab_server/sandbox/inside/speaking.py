"""How the supervisor speaks to its host: frames on stdout, answers as JSON."""

from __future__ import annotations

import os

from .framing import Kind, frame


def send(data: bytes) -> None:
    """Send all of `data`. Blocking is right: the host always reads, whatever its handlers do."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def send_reply(stream: int, value: dict[str, str | int | None]) -> None:
    """End a call. The host trusts no more of this than that it is JSON; every word of ours is plain."""
    pairs = ",".join(f'"{name}":{_plain(item)}' for name, item in value.items())
    send(frame(Kind.REPLY, stream, f"{{{pairs}}}".encode()))


def _plain(item: str | int | None) -> str:
    if item is None or isinstance(item, bool):
        return {None: "null", True: "true", False: "false"}[item]
    return f'"{item}"' if isinstance(item, str) else str(item)
