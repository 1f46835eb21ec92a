"""`seal`, `release`, `status`: sealed packages first, then stage by stage what the policy permits."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.watching import watched
from attestations.container import Watch
from attestations.labels import LABELS
from attestations.plain import plain
from auditor_client import closing, escrowing, grading_run, sealing_packages
from auditor_client.app import Auditor, auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.eliciting.reporting import elicited
from auditor_client.history import read_history
from auditor_client.mirror import Mirror
from auditor_client.proposing import AGREEMENT
from auditor_client.redacting import parse_redaction
from auditor_client.registering import REGISTRATION
from auditor_client.releasing import STAGES, Releaser
from auditor_client.staging import Asked, Staging


def seal(home: HomeOption = DEFAULT_HOME) -> None:
    """Seal every class and deliver the ciphertext to the lab, before any result is known."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement, suite, key = us.engagement(), us.suite(), us.suite_key()
            with watched() as watch:
                graded = await grading_run.grade_all(suite, journal=us.journal, watch=watch)
            mirror = us.mirror()
            try:
                history = read_history(mirror, engagement.agreement, engagement.digest)
            finally:
                mirror.close()
            found = await elicited(suite, history, engagement.agreement, graded.rows, us.journal)
            with watched() as watch:
                manifest = await sealing_packages.seal(
                    suite,
                    us.design().plan,
                    graded,
                    arms=found.running,
                    deviations=[deviation.digest for deviation in history.deviations],
                    key=key,
                    engagement=engagement,
                    journal=us.journal,
                    clock=us.clock,
                    folder=us.home.packages,
                    elicitation=found.claim,
                    sandbagging=found.sandbagging,
                    watch=watch,
                )
            classes = await escrowing.put(
                key, engagement=engagement, lab=us.lab, journal=us.journal, clock=us.clock, randomness=os.urandom
            )
            files = escrowing.write_share_files(us.home.escrow, engagement=engagement, journal=us.journal)
            await sealing_packages.deliver(
                manifest, engagement=engagement, lab=us.lab, journal=us.journal, folder=us.home.packages
            )
            us.log.info("packages_delivered", digest=manifest.digest)
            typer.echo(f"sealed and delivered: manifest {manifest.digest}")
            if files:
                typer.echo(f"in escrow: {', '.join(classes)}; hand each holder its file:")
                for path in files:
                    typer.echo(f"  {path}")

    asyncio.run(go())


def release(
    stage: Annotated[str, typer.Argument(help="S1 (commitments) to S5 (transcripts).")],
    home: HomeOption = DEFAULT_HOME,
    to: Annotated[str, typer.Option(help="A recipient of the policy, e.g. REGULATOR or PUBLIC.")] = "REGULATOR",
    out: Annotated[Path | None, typer.Option(help="Where to write the evidence file.")] = None,
    redact: Annotated[
        list[str] | None, typer.Option(help="What stays closed, e.g. C6/target=SECURITY; repeatable.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Release these classes only, e.g. C7; repeatable.")] = None,
    tlp: Annotated[str | None, typer.Option(help="A stricter label than the classes' own, e.g. RED.")] = None,
) -> None:
    """Release one stage to one recipient, if the policy permits it now, and write the evidence file."""
    if stage not in STAGES:
        raise typer.BadParameter("a stage is S1, S2, S3, S4 or S5", param_hint="STAGE")
    if tlp is not None and tlp not in LABELS:
        raise typer.BadParameter(", ".join(LABELS), param_hint="--tlp")
    asked = Asked(
        STAGES[STAGES.index(stage)],
        to,
        only=tuple(only or ()),
        redact=[parse_redaction(text) for text in redact or ()],
        tlp=tlp,
    )

    async def go() -> None:
        async with auditor(home) as us:
            mirror = us.mirror()
            path = out or us.home.evidence / f"evidence-{stage}.zip"
            try:
                # An amendment in the log may have changed what the policy permits.
                await us.cosigner(us.engagement(), mirror).cosign()
                with watched() as watch:
                    attested = await _staging(us, mirror, watch).release_asked(asked, path)
            finally:
                mirror.close()
            us.log.info("stage_released", stage=stage, recipient=to, digest=attested.digest)
            typer.echo(f"{path}: {stage} for {to}")

    asyncio.run(go())


def _staging(us: Auditor, mirror: Mirror, watch: Watch | None) -> Staging:
    engagement = us.engagement()
    return Staging(
        releaser=Releaser(
            engagement=engagement,
            lab=us.lab,
            journal=us.journal,
            mirror=mirror,
            cosigner=us.cosigner(engagement, mirror),
            clock=us.clock,
        ),
        suite=us.suite(),
        plan=us.design().plan,
        registration=us.registration(),
        key=us.suite_key(),
        log=us.home.mirror,
        packages=us.home.packages,
        watch=watch,
    )


def _print_statements(us: Auditor) -> None:
    engagement, mirror = us.engagement(), us.mirror()
    try:
        history = read_history(mirror, engagement.first, engagement.digest)
    finally:
        mirror.close()
    if history.ledger.aborted is not None:
        typer.echo(f"  given up: {plain(history.ledger.aborted.reason)}")
    if history.ledger.held:
        typer.echo(f"  held back: {history.ledger.held} business days")
    for logged in history.ledger.findings:
        typer.echo(f"  {logged.words}")
    for breach in history.breaches:
        typer.echo(f"  counts for nothing: leaf {breach.leaf}, {breach.error.message} [{breach.error.reason}]")


def status(home: HomeOption = DEFAULT_HOME) -> None:
    """Say how far the audit is, from this folder alone."""

    async def go() -> None:
        async with auditor(home, alone=False) as us:
            recall = us.journal.recall
            progress = us.journal.progress()
            steps = {
                "agreement": recall(AGREEMENT) is not None,
                "suite committed": us.home.committed.exists(),
                "suite registered": recall(REGISTRATION) is not None,
                "run closed": recall(closing.CLOSE) is not None,
                "grades fixed": recall(grading_run.GRADES) is not None,
                "packages delivered": recall(sealing_packages.DELIVERY) is not None,
            }
            for name, done in steps.items():
                typer.echo(f"{'x' if done else ' '} {name}")
            typer.echo(
                f"  items: {progress.done} answered, {progress.failed} without an answer, {progress.total} in all"
            )
            for name in us.journal.names("release/"):
                _, content_class, recipient, *view = name.split("/")
                typer.echo(f"  released: {content_class} to {recipient}{', in part' if view else ''}")
            if recall(AGREEMENT) is not None:
                _print_statements(us)

    asyncio.run(go())
