"""`init`: keys, certificate, settings and identity file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.home import Home, create_home


def init(
    home: HomeOption = DEFAULT_HOME,
    name: Annotated[
        str, typer.Option("--id", help="Your organisation's name, e.g. auditor.example.")
    ] = "auditor.example",
) -> None:
    """Make a folder with keys, a TLS certificate and settings with comments."""
    folder = Home(home)
    create_home(folder, party=name, now=datetime.now(UTC))
    typer.echo(f"{folder.settings}: settings, with comments")
    typer.echo(f"{folder.identity}: give this to the lab and to readers")
    typer.echo(f"{folder.path / 'keys'}: private keys; keep a copy of suite.pem, without it nothing can be released")
    typer.echo(f"Next: put the lab's identity file at {folder.path / 'lab-identity.json'}, then `suite new`.")
