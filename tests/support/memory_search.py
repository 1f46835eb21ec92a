"""Where a secret could be found: a process's memory, files, argument lists, and bytes on the wire."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_REGION = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (r)")
_MOST_BYTES = 256 << 20  # of one region; larger ones are reservations


def memory_of(pid: int) -> Iterable[bytes]:
    """Give every readable region of a process's memory (needs the right to trace it)."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            match = _REGION.match(line)
            if match is None or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = int(match[1], 16), int(match[2], 16)
            with suppress(OSError, OverflowError, ValueError):
                memory.seek(start)
                yield memory.read(min(end - start, _MOST_BYTES))


def found_in(blocks: Iterable[bytes], needles: Iterable[str]) -> set[str]:
    """Return the needles that occur, as UTF-8 or UTF-16."""
    wanted = [(needle, form) for needle in needles for form in (needle.encode(), needle.encode("utf-16-le"))]
    hits: set[str] = set()
    # What all needles begin with is looked for first: most blocks hold none of them.
    shared = os.path.commonprefix([needle for needle, _ in wanted])  # noqa: RUF071 - of texts, not of paths
    forms = (shared.encode(), shared.encode("utf-16-le"))
    for block in blocks:
        if not any(form in block for form in forms):
            continue
        hits |= {needle for needle, form in wanted if form in block}
    return hits


def files_under(folder: Path) -> Iterable[bytes]:
    """Give every file's bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.read_bytes()


def argument_lists() -> Iterable[bytes]:
    """Give the argument list and environment of every process we may see, but our own."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                yield (process / "cmdline").read_bytes()


class RecordingProxy:
    """Passes TCP connections on and keeps every byte that goes by."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._server: asyncio.Server | None = None
        self.captured = bytearray()

    async def start(self, port: int) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", port)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.captured += data
                writer.write(data)
                await writer.drain()
        writer.close()
