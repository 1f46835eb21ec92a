"""`publish`: our attestation signed once more, under a public identity, for those who know us by that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from attestations.errors import FileUnusable, IdentityTokenUnusable
from attestations.files import open_file, unreadable, unwritable
from attestations.identity import parse_identity
from attestations.keyless import MAX_CONFIG_BYTES, MAX_TOKEN_BYTES, Instance
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.home import Home
from auditor_client.publishing import Publishable, publishable
from auditor_client.settings import load_settings

TOKEN = "SAFECONDUCT_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable


def publish(
    file: Annotated[Path, typer.Argument(help="An evidence file of ours, e.g. auditor/evidence/evidence-S1.zip.")],
    trust_config: Annotated[Path, typer.Option(help="The Sigstore instance to use (ClientTrustConfig JSON).")],
    home: HomeOption = DEFAULT_HOME,
    identity_token_file: Annotated[
        Path | None, typer.Option(help=f"Holds an OIDC token for the audience `sigstore`; {TOKEN} if left out.")
    ] = None,
    recipient: Annotated[
        str, typer.Option(help="Whom the file is for; anyone but PUBLIC has to be named, because a log is public.")
    ] = "PUBLIC",
    out: Annotated[
        Path | None, typer.Option(help="Where to write the bundle; beside the evidence file if left out.")
    ] = None,
    deadline: Annotated[int, typer.Option(min=1, max=600, help="Seconds to wait for all services together.")] = 60,
) -> None:
    """Sign an evidence file's attestation under your public identity; readers check it with `verify --keyless`."""
    path = out or file.with_suffix(".keyless.sigstore.json")
    instance = Instance(_read(trust_config, MAX_CONFIG_BYTES))
    token = _token(identity_token_file)
    found = _publishable(file, Home(home), recipient)
    with _new_file(path) as written:  # before anything is logged: an entry cannot be taken back
        published = instance.sign(found.statement, token=token, within=deadline)
        written.write(published.bundle)
    typer.echo(f"{path}: the attestation of {found.stage} for {found.recipient}, signed as {published.by.identity}")
    typer.echo(f"Readers check it with --identity {published.by.identity} --issuer {published.by.issuer}")
    typer.echo("The log shows everyone, for ever, that this identity signed something of this digest at this time.")


def _publishable(file: Path, home: Home, recipient: str) -> Publishable:
    lab = parse_identity(home.read(home.path / load_settings(home.settings).lab.identity))
    with open_file(file) as stream:
        return publishable(stream, auditor=home.read_identity(), lab=lab, recipient=recipient)


def _token(file: Path | None) -> str:
    """Return the identity token; it is never an argument, which every process on this machine could read."""
    data = (
        os.environ.get(TOKEN, "").encode("utf-8", "surrogateescape") if file is None else _read(file, MAX_TOKEN_BYTES)
    )
    if not data.strip():
        raise IdentityTokenUnusable(f"there is no identity token: give --identity-token-file, or set {TOKEN}")
    if len(data) > MAX_TOKEN_BYTES or not data.isascii():
        raise IdentityTokenUnusable("the identity token is not a JWT")
    return data.decode().strip()


def _read(path: Path, limit: int) -> bytes:
    try:
        with open_file(path) as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from None


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file that appears under its name when it is whole, and not at all if something fails.

    Raises:
        FileUnusable: there is one already, or it cannot be written.
    """
    if path.exists():
        raise FileUnusable(f"{path} already exists; publishing again would log another entry", path=str(path))
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        partial.unlink(missing_ok=True)
