"""`trust`, `consent`, `render`, `version`: whom to trust, and documents read and signed or shown as pages."""
# ruff: noqa: PLC0415 - other commands start faster without what one of them needs

from __future__ import annotations

import json
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.options import moment
from attestations.files import read_file, shown, write_file


def trust(
    identities: Annotated[list[Path], typer.Argument(help="identity.json files, obtained out of band.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the trust file.")] = Path("trust.json"),
) -> None:
    """Write a trust file from the identity files of the parties you trust."""
    from attestations.identity import MAX_IDENTITY_BYTES, parse_identity
    from attestations.trust import Trust, TrustedParty

    parties = []
    for path in identities:
        identity = parse_identity(read_file(path, MAX_IDENTITY_BYTES))
        parties.append(TrustedParty(role=identity.role, id=identity.id, keys=identity.keys))
    text = json.dumps(Trust(parties=tuple(parties)).json_value(), indent=2) + "\n"
    write_file(out, [text.encode()])
    names = ", ".join(f"{party.role} {party.id}" for party in parties)
    typer.echo(f"{shown(out)}: trusts {names}. Compare their key fingerprints with the parties over another channel.")


def consent(
    amendment: Annotated[Path, typer.Argument(help="An amendment as lab or auditor wrote it with `amend --unsigned`.")],
    identity: Annotated[Path, typer.Option(help="Your folder with identity.json and keys/.")],
    agreement: Annotated[Path | None, typer.Option(help="The agreement it supersedes, to see what changes.")] = None,
    out: Annotated[Path | None, typer.Option(help="Sign it and write it here; without, it is only shown.")] = None,
) -> None:
    """Read an amendment that touches a rule protecting you, and sign it if you agree."""
    from attestations.commands.consenting import consent as read_and_sign

    read_and_sign(amendment, identity, agreement, out)


def render(
    file: Annotated[Path, typer.Argument(help="A signed agreement or offer, or an evidence file for its release log.")],
    html: Annotated[Path | None, typer.Option(help="Where to write the page.")] = None,
    trust: Annotated[Path | None, typer.Option(help="Whose keys you trust; needed for a release log.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge obligations at this time, e.g. 2027-01-31T12:00:00Z.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Show what differs from this offer, agreement or signed terms.")
    ] = None,
    escrow: Annotated[
        list[Path] | None, typer.Option(help="For a release log: what escrow holders opened; repeatable.")
    ] = None,
    csaf: Annotated[Path | None, typer.Option(help="Where to write a release log as a CSAF 2.1 document.")] = None,
    namespace: Annotated[str | None, typer.Option(help="For --csaf: a URL of the auditor's, its publisher.")] = None,
) -> None:
    """Write an agreement, an offer, or a release log, as a page a person can read, print and file."""
    from attestations.commands.rendering import Wanted, export_advisory, render_file

    wanted = Wanted(file, trust, moment(at), against, escrow or ())
    if html is None and csaf is None:
        raise typer.BadParameter("give a file for a page, or --csaf.", param_hint="--html")
    if html is not None:
        typer.echo(render_file(wanted, html))
    if csaf is not None:
        typer.echo(export_advisory(wanted, csaf, namespace))


def version_() -> None:
    """Print the version."""
    typer.echo(installed("safeconduct"))
