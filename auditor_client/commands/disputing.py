"""`dispute`: what was kept against the lab, as a case that `safeconduct adjudicate` decides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from attestations.files import write_file
from auditor_client.app import auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.disputing import kept_case


def dispute(
    home: HomeOption = DEFAULT_HOME,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the case file.")] = Path("case.json"),
) -> None:
    """Write the kept evidence against the lab as a case; it holds no request and no answer."""

    async def go() -> None:
        async with auditor(home) as us:
            mirror = us.mirror()
            try:
                case = kept_case(us.engagement(), us.journal, mirror)
            finally:
                mirror.close()
            write_file(out, [case.to_bytes()])
            typer.echo(f"{out}: {len(case.claims)} claims, {len(case.documents)} documents")

    asyncio.run(go())
