"""`run`, `grade`, `close`: from an agreement to grades that can no longer change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.watching import watched
from attestations.grades import GradeRow
from auditor_client import closing, grading_run
from auditor_client.app import Auditor, auditor
from auditor_client.beginning import begin
from auditor_client.campaign_state import Progress
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.commands.progress import shown
from auditor_client.eliciting.arms import bind_variants
from auditor_client.eliciting.running import ArmsRun, Ran
from auditor_client.engagement import Engagement
from auditor_client.history import History, read_history
from auditor_client.mirror import Mirror
from auditor_client.stating import Speaker


def run(
    home: HomeOption = DEFAULT_HOME,
    lanes: Annotated[int | None, typer.Option(min=1, max=256, help="Exchanges at once; default from settings.")] = None,
    bind: Annotated[
        list[str] | None, typer.Option(help="The variant that was fine-tuned for an arm, e.g. sft_dev=deployed+job-1.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Begin TEST without this arm, whose fine-tuning came to nothing or is given up."),
    ] = None,
) -> None:
    """Run the suite, or continue where it stopped; nothing is asked twice. Arms are asked on DEV first."""
    ran = asyncio.run(_run(home, lanes, _bindings(bind or []), without or []))
    progress = ran.progress
    typer.echo(f"{progress.done} of {progress.total} answered, {progress.failed} without an answer")
    if ran.waiting:
        typer.echo("These were DEV tasks. TEST waits:")
        for reason in ran.waiting:
            typer.echo(f"  {reason}")
    elif progress.done + progress.failed == progress.total:
        typer.echo("Next: `safeconduct auditor close`.")


def _bindings(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        arm, _, variant = text.partition("=")
        if not arm or "+" not in variant:
            raise typer.BadParameter("an arm is bound as sft_dev=BASE+JOB", param_hint="--bind")
        found[arm] = variant
    return found


async def _run(home: Path, lanes: int | None, bindings: Mapping[str, str], without: Collection[str]) -> Ran:
    async with auditor(home) as us:
        engagement = us.engagement()
        mirror = us.mirror()
        try:
            await begin(us, engagement, mirror)
            with shown("exchanges") as on_progress:

                async def campaign() -> Progress:
                    return await us.campaign(engagement, mirror).run(
                        lanes=lanes or us.settings.run.lanes, on_progress=on_progress
                    )

                if us.registration().conduct is None:
                    ran = Ran(await campaign())
                else:
                    await bind_variants(us.journal, us.registration(), bindings)
                    ran = await _in_arms(us, engagement, mirror, campaign, without).run()
        finally:
            mirror.close()
        progress = ran.progress
        us.log.info("campaign_ended", total=progress.total, done=progress.done, failed=progress.failed)
        return ran


def _in_arms(
    us: Auditor,
    engagement: Engagement,
    mirror: Mirror,
    campaign: Callable[[], Awaitable[Progress]],
    without: Collection[str],
) -> ArmsRun:
    cosigner = us.cosigner(engagement, mirror)

    async def history() -> History:
        await cosigner.cosign()
        return read_history(mirror, engagement.agreement, engagement.digest)

    return ArmsRun(
        suite=us.suite(),
        key=us.suite_key(),
        speaker=Speaker(engagement, us.lab, us.journal, cosigner, us.clock),
        journal=us.journal,
        campaign=campaign,
        history=history,
        without=without,
    )


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
            with watched() as watch:
                graded = await grading_run.grade_all(us.suite(), journal=us.journal, watch=watch)
            ran = sum(row.value.role != "none" for row in graded.rows)
            if said := _cheated(graded.rows):
                typer.echo(said)
            if us.journal.recall(closing.CLOSE) is None:
                typer.echo(f"{ran} items graded; their grades are fixed in the log once the run is closed.")
                return
            engagement = us.engagement()
            envelope = await grading_run.commit_grades(
                graded, us.suite_key(), engagement=engagement, lab=us.lab, journal=us.journal, clock=us.clock
            )
            us.log.info("grades_committed", digest=envelope.digest)
            typer.echo(f"{ran} items graded; their grades are fixed in the log: {envelope.digest}")

    asyncio.run(go())


def _cheated(rows: Sequence[GradeRow]) -> str:
    """Return what the figures are either way, where agentic items show signs of cheating."""
    signs = [row for row in rows if row.value.cheating]
    if not signs:
        return ""
    right = sum(row.value.score == "1" for row in rows)
    honest = right - sum(row.value.score == "1" for row in signs)
    return f"{len(signs)} items show signs of cheating: {right} correct as graded, {honest} if these count as failed"
