"""The lab's command line: make a folder, admit auditors, serve, look, check."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from attestations.files import unwritable
from lab_server.commands import eliciting, examining, negotiating, stating
from lab_server.home import Home, admit, create_home
from lab_server.settings import load_settings

app = typer.Typer(
    name="lab",
    help="Serve a model to auditors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
HomeOption = Annotated[Path, typer.Option("--home", help="The lab's folder.")]
_HOME = Path("lab")


@app.command()
def init(
    party: Annotated[str, typer.Option("--id", help="The lab's name, e.g. its domain.")],
    home: HomeOption = _HOME,
) -> None:
    """Make a folder with keys, a TLS certificate and a commented configuration."""
    create_home(Home(home), party=party, now=datetime.now(UTC))
    typer.echo(f"{home}: give {home / 'identity.json'} to auditors, read {home / 'lab.toml'},")
    typer.echo(f"then `safeconduct lab admit AUDITOR-IDENTITY.json --home {home}` and `safeconduct lab serve`.")


@app.command("admit")
def admit_(
    identity: Annotated[Path, typer.Argument(help="The auditor's identity.json, obtained out of band.")],
    home: HomeOption = _HOME,
) -> None:
    """Let an auditor negotiate; its table in lab.toml holds the terms. Takes effect when the lab is next started."""
    auditor = admit(Home(home), identity)
    typer.echo(f"{auditor.id} is admitted; its terms are the last table of {home / 'lab.toml'}")


@app.command()
def serve(
    home: HomeOption = _HOME,
    ready_file: Annotated[Path | None, typer.Option(help="Write the address here once it serves.")] = None,
) -> None:
    """Serve until interrupted."""
    from lab_server.app import lab, log_to  # noqa: PLC0415 - other commands start faster without gRPC

    folder = Home(home)
    settings = load_settings(folder.settings)
    log_to(folder.log)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with lab(folder, settings) as running:
            typer.echo(f"serving at {running.address} (log: {folder.log}); Ctrl-C stops")
            if running.aborted:
                typer.echo(f"{running.aborted} exchanges were open when the lab last stopped: recorded as aborted")
            if ready_file is not None:
                _write_ready(ready_file, running.address)
            await stop.wait()
            typer.echo("stopping")

    asyncio.run(run())


@app.command()
def status(home: HomeOption = _HOME) -> None:
    """Show every engagement from the store, whether the lab serves or not."""
    from lab_server.inspecting import describe  # noqa: PLC0415

    for line in asyncio.run(describe(Home(home))):
        typer.echo(line)


@app.command()
def fsck(home: HomeOption = _HOME) -> None:
    """Derive every hash, root, signature, meter and budget again from the stored bytes alone."""
    from lab_server.fsck import check_store  # noqa: PLC0415

    for line in asyncio.run(check_store(Home(home))):
        typer.echo(line)


@app.command()
def dispute(
    home: HomeOption = _HOME,
    agreement: stating.AgreementOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the case file.")] = Path("case.json"),
) -> None:
    """Write the kept evidence against an auditor as a case that `safeconduct adjudicate` decides."""
    from lab_server.disputing import kept_case  # noqa: PLC0415

    case = asyncio.run(kept_case(Home(home), agreement))
    _write(out, case.to_bytes())
    typer.echo(f"{out}: {len(case.claims)} claims, {len(case.documents)} documents")


app.add_typer(eliciting.dev, name="dev")
app.add_typer(eliciting.pack, name="pack")
for _command in (
    negotiating.offers,
    negotiating.review,
    negotiating.counter,
    negotiating.accept,
    negotiating.reject,
    negotiating.withdraw,
    negotiating.conclude,
    negotiating.amend,
    negotiating.terminate,
    *stating.COMMANDS,
    examining.doctor,
):
    app.command(_command.__name__)(_command)


def _write_ready(path: Path, address: str) -> None:
    _write(path, json.dumps({"address": address, "pid": os.getpid()}).encode())


def _write(path: Path, data: bytes) -> None:
    try:
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
