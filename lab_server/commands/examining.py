"""`doctor`: what this machine can enforce around foreign programs, and why not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from attestations.errors import SandboxUnavailable
from lab_server.sandbox.port import Finding, Provider, Report, Tier


def doctor(
    tier: Annotated[Tier, typer.Option(help="The least wall that must be there for exit code 0.")] = Tier.PROCESS,
    images: Annotated[Path | None, typer.Option(help="Where images of boxes are kept.")] = None,
) -> None:
    """Make a sandbox of each kind, attack it from inside, and say what this machine can enforce.

    Exit code 0: one of at least the tier can be made with every limit enforced. 81: none can, and the table says why.
    """
    from lab_server.sandbox.bubblewrap import Bubblewrap  # noqa: PLC0415 - other commands start faster without
    from lab_server.sandbox.gvisor import GVisor  # noqa: PLC0415
    from lab_server.sandbox.images import Images, default_folder  # noqa: PLC0415

    kept = Images(images or default_folder())
    reports = asyncio.run(_examine([Bubblewrap(kept), GVisor(kept)]))
    for report in reports:
        typer.echo(f"{report.provider} (tier {report.tier}): {'usable' if report.usable else 'not usable'}")
        for finding in report.findings:
            typer.echo(f"  {_mark(finding):<4} {finding.name:<26} {finding.found}")
    if not any(report.usable and report.tier.reaches(tier) for report in reports):
        raise SandboxUnavailable(
            f"no sandbox of tier {tier} can be made here; hooks that need one are refused", tier=tier
        )


async def _examine(providers: list[Provider]) -> list[Report]:
    return [await provider.doctor() for provider in providers]


def _mark(finding: Finding) -> str:
    return "ok" if finding.able else "NO" if finding.needed else "-"
