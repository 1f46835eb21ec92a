"""A bar on stderr for work that takes a while: what is being done and how much of it is, never content."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attestations.container import Watch

_SLOW_BYTES = 8 << 20  # a smaller file is checked in a second or two
_BETWEEN = 0.1  # seconds


@contextmanager
def watched(path: Path | None = None) -> Iterator[Watch | None]:
    """Give what moves the bar, or None where nobody looks or the file at `path` is small.

    The bar stands for one thing at a time (a member of a file, a class that is sealed) and goes when all is done.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()  # it is None where the caller has closed it
    if not terminal or (path is not None and path.is_file() and path.stat().st_size < _SLOW_BYTES):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - most commands never show a bar
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        last = 0.0

        def move(what: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _BETWEEN:
                last = now
                bar.update(task, description=what, completed=done, total=total)

        yield move
