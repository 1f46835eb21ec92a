"""`run`, `grade`, `close`: from an agreement to grades that can no longer change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from auditor_client import closing, grading_run
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.campaign_state import Progress
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.commands.progress import shown


def run(
    home: HomeOption = DEFAULT_HOME,
    lanes: Annotated[int | None, typer.Option(min=1, max=256, help="Exchanges at once; default from settings.")] = None,
) -> None:
    """Run the suite, or continue where it stopped; nothing is asked twice."""
    progress = asyncio.run(_run(home, lanes))
    typer.echo(f"{progress.done} of {progress.total} answered, {progress.failed} without an answer")
    if progress.done + progress.failed == progress.total:
        typer.echo("Next: `safeconduct auditor close`.")


async def _run(home: Path, lanes: int | None) -> Progress:
    async with auditor(home) as us:
        engagement = us.engagement()
        mirror = us.mirror()
        try:
            await begin(us, engagement, mirror)
            with shown("exchanges") as on_progress:
                progress = await us.campaign(engagement, mirror).run(
                    lanes=lanes or us.settings.run.lanes, on_progress=on_progress
                )
        finally:
            mirror.close()
        us.log.info("campaign_ended", total=progress.total, done=progress.done, failed=progress.failed)
        return progress


def close(home: HomeOption = DEFAULT_HOME) -> None:
    """Close the run: both sides sign what took place."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement = us.engagement()
            mirror = us.mirror()
            try:
                statement = await closing.close_run(
                    engagement=engagement,
                    lab=us.lab,
                    journal=us.journal,
                    mirror=mirror,
                    cosigner=us.cosigner(engagement, mirror),
                )
            finally:
                mirror.close()
            us.log.info("run_closed", size=statement.tree_size)
            counts = statement.counts
            typer.echo(f"closed: {counts.promised} promised, {counts.completed} answered, {counts.refusals} refused")

    asyncio.run(go())


def grade(home: HomeOption = DEFAULT_HOME) -> None:
    """Grade every answer on this side. Once the run is closed, fix the grades in the log."""

    async def go() -> None:
        async with auditor(home) as us:
            graded = await grading_run.grade_all(us.suite(), us.suite_key(), journal=us.journal)
            ran = sum(row.value.role != "none" for row in graded.rows)
            if us.journal.recall(closing.CLOSE) is None:
                typer.echo(f"{ran} items graded; their grades are fixed in the log once the run is closed.")
                return
            engagement = us.engagement()
            envelope = await grading_run.commit_grades(
                graded, engagement=engagement, lab=us.lab, journal=us.journal, clock=us.clock
            )
            us.log.info("grades_committed", digest=envelope.digest)
            typer.echo(f"{ran} items graded; their grades are fixed in the log: {envelope.digest}")

    asyncio.run(go())
