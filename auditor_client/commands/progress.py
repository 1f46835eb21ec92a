"""Progress on stderr: counts only, never content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from auditor_client.campaign import OnProgress
from auditor_client.campaign_state import Progress as Counts


@contextmanager
def shown(title: str) -> Iterator[OnProgress]:
    """Show a bar on stderr; what is yielded moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} without an answer"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=None, failed=0)

        def move(counts: Counts) -> None:
            bar.update(task, total=counts.total, completed=counts.done + counts.failed, failed=counts.failed)

        yield move
