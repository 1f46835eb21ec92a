"""`safeconduct identity new`: keys and an identity file for a regulator, an escrow holder or another recipient."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.keeping import Keeping, receive_pem, write
from attestations.documents.agreement import PartyKey
from attestations.documents.base import encode, validated
from attestations.errors import FileUnusable
from attestations.identity import Identity
from attestations.keys import KeyUse, P256Signer
from attestations.sealing import WorkerKey

app = typer.Typer(help="Keys and identity files for parties that run no service.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `new` a command of its own, so that others can stand beside it."""


@app.command()
def new(
    role: Annotated[str, typer.Option(help="regulator, escrow or recipient.")],
    party: Annotated[str, typer.Option("--id", help="Your organisation's name, e.g. trustee.example.")],
    into: Annotated[Path, typer.Option(help="A new folder for the keys.")],
) -> None:
    """Make a folder with a key that signs statements, a key that secrets are sealed to, and the identity file."""
    if role not in ("regulator", "escrow", "recipient"):
        raise typer.BadParameter("a role is regulator, escrow or recipient", param_hint="--role")
    if into.exists() and any(into.iterdir()):
        raise FileUnusable(f"{into} is not empty; give another folder", path=str(into))
    validated(Identity, {"role": role, "id": party, "keys": []})  # a bad name is refused before a key is made
    home = Keeping(into)
    signer, receive = P256Signer.generate(party=party, use=KeyUse.AGREEMENT), WorkerKey.generate()
    identity = Identity(
        role=role,  # type: ignore[arg-type]
        id=party,
        keys=(
            PartyKey(use="agreement", public=encode(signer.key.public)),
            PartyKey(use="receive", public=encode(receive.public)),
        ),
    )
    write(home.key_file(KeyUse.AGREEMENT), signer.to_pem(), private=True)
    write(home.key_file(KeyUse.RECEIVE), receive_pem(receive), private=True)
    write(into / "identity.json", identity.to_bytes())
    typer.echo(f"{into / 'identity.json'}: give this to lab, auditor and readers")
    typer.echo(f"{into / 'keys'}: private keys; keep a copy of receive.pem, without it what is sealed to you is lost")
