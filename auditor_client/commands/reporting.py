"""`report`: the page of an evidence file, checked first, from this folder's own identities."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.reporting import write_report
from attestations.commands.watching import watched
from attestations.errors import FileUnusable
from attestations.files import read_file, shown
from attestations.identity import parse_identity
from attestations.trust import Trust, TrustedParty, parse_trust
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.home import Home
from auditor_client.settings import load_settings


def report(
    file: Annotated[Path | None, typer.Argument(help="An evidence file; by default the latest of the folder.")] = None,
    home: HomeOption = DEFAULT_HOME,
    into: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("report.html"),
    json_: Annotated[Path | None, typer.Option("--json", help="Also write it as JSON.")] = None,
    trust: Annotated[Path | None, typer.Option(help="A trust file; by default this folder's two identities.")] = None,
) -> None:
    """Check an evidence file and write one readable page about it; the exit code is the verifier's."""
    folder = Home(home)
    chosen = file or _latest(folder)
    trusted = _own_trust(folder) if trust is None else parse_trust(read_file(trust))
    with watched(chosen) as watch:
        written = write_report(chosen, trusted, into, data=json_, watch=watch)
    said = "the evidence holds" if written.view.good else "THE EVIDENCE DOES NOT HOLD; the page says so"
    typer.echo(f"{shown(into)}: {shown(chosen.name)}, stage {written.view.stage}: {said}")
    raise typer.Exit(int(written.report.exit_code))


def _latest(folder: Home) -> Path:
    found = sorted(folder.evidence.glob("*.zip"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not found:
        raise FileUnusable(f"{shown(folder.evidence)} holds no evidence file yet", path=shown(folder.evidence))
    return found[-1]


def _own_trust(folder: Home) -> Trust:
    settings = load_settings(folder.settings)
    identities = (folder.read_identity(), parse_identity(folder.read(folder.path / settings.lab.identity)))
    return Trust(parties=tuple(TrustedParty(role=item.role, id=item.id, keys=item.keys) for item in identities))
