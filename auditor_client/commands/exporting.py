"""`export`: released evidence in the forms other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attestations.errors import ConfigurationInvalid
from attestations.files import open_file, read_file
from attestations.trust import MAX_TRUST_BYTES, parse_trust
from attestations.verify.export import open_verified

app = typer.Typer(help="Write released evidence in the forms other tools read.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `inspect` a command of its own: a group of one command would lose its name."""


@app.command("inspect")
def inspect_logs(
    evidence: Annotated[Path, typer.Argument(help="An evidence file.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    into: Annotated[Path, typer.Option(help="A folder for the logs.")],
) -> None:
    """Write what an evidence file opens as Inspect logs, once it verifies; `inspect view` shows them."""
    try:
        from auditor_client.integrations.inspect.exporting import write_logs  # noqa: PLC0415 - seconds, and an extra
    except ImportError:
        raise ConfigurationInvalid("Inspect is not installed: pip install 'safeconduct[auditor,inspect]'") from None
    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    with open_file(evidence) as stream:
        for path in write_logs(open_verified(stream, trusted), into):
            typer.echo(str(path))
