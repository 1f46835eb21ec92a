"""`escrow-receipts`, `escrow-reshare`: what holders have verified goes into the log, and a lost holder is replaced."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from attestations.envelope import parse_envelope
from auditor_client import escrowing
from auditor_client.app import auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption


def receipts(
    files: Annotated[list[Path], typer.Argument(help="Receipts that holders signed (`safeconduct escrow verify`).")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Put holders' receipts into the log, so that every reader sees who holds its shares."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement = us.engagement()
            for path in files:
                envelope = parse_envelope(us.home.read(path))
                holder = await escrowing.log_receipt(envelope, engagement=engagement, lab=us.lab)
                us.log.info("escrow_verified", holder=holder, digest=envelope.digest)
                typer.echo(f"{holder}: in the log")

    asyncio.run(go())


def reshare(
    without: Annotated[list[str], typer.Option(help="A holder that is lost; repeatable.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Deal every class key anew to the holders that are left; the old shares open nothing any more."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement = us.engagement()
            classes = await escrowing.reshare(
                us.suite_key(),
                without,
                engagement=engagement,
                lab=us.lab,
                journal=us.journal,
                clock=us.clock,
                randomness=os.urandom,
            )
            folder = us.home.escrow / f"without-{len(without)}"
            files = escrowing.write_share_files(folder, engagement=engagement, journal=us.journal)
            us.log.info("escrow_reshared", classes=len(classes), holders=len(files))
            typer.echo(
                f"dealt anew: {', '.join(classes)}; hand each holder its new file, and have the old one destroyed:"
            )
            for path in files:
                typer.echo(f"  {path}")

    asyncio.run(go())
