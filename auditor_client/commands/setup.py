"""`init`: keys, certificate, settings and identity file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from attestations.documents.base import Name
from attestations.errors import ConfigurationInvalid
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.home import Home, create_home


def init(
    home: HomeOption = DEFAULT_HOME,
    name: Annotated[
        str, typer.Option("--id", help="Your organisation's name, e.g. auditor.example.")
    ] = "auditor.example",
) -> None:
    """Make a folder with keys, a TLS certificate and settings with comments."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise ConfigurationInvalid("a name is letters, digits and . _ : / @ + -, at most 128", field="name") from None
    folder = Home(home)
    create_home(folder, party=name, now=datetime.now(UTC))
    typer.echo(f"{folder.settings}: settings, with comments")
    typer.echo(f"{folder.identity}: give this to the lab and to readers")
    typer.echo(f"{folder.path / 'keys'}: private keys; keep a copy of suite.pem, without it nothing can be released")
    typer.echo(f"Next: put the lab's identity file at {folder.path / 'lab-identity.json'}, then `suite new`.")
