"""`safeconduct consent`: whom a protected rule protects reads an amendment and signs it, or does not."""

from __future__ import annotations

from pathlib import Path

import typer

from attestations.commands.files import write_file
from attestations.documents.agreement import Agreement
from attestations.envelope import parse_envelope, sign_document
from attestations.errors import ConfigurationInvalid
from attestations.files import read_file
from attestations.identity import parse_identity
from attestations.keys import KeyUse, signer_from_pem
from attestations.negotiation.diff import diff_page, differences
from attestations.negotiation.lines import page


def consent(amendment: Path, identity: Path, agreement: Path | None, out: Path | None) -> None:
    """Show an amendment, and sign it if `out` is given.

    Raises:
        FileUnusable: a file cannot be read or written.
        ConfigurationInvalid: it does not name this party, or supersedes another agreement than the one given.
    """
    body = Agreement.parse(read_file(amendment).strip())
    if agreement is None:
        shown = page(body)
    else:
        before = parse_envelope(read_file(agreement).strip())
        if body.supersedes != before.digest:
            raise ConfigurationInvalid(f"{amendment} does not supersede {agreement}", field="supersedes")
        shown = ["What changes", *diff_page(differences(Agreement.parse(before.payload), body))]
    for line in shown:
        typer.echo(line)
    party = parse_identity(read_file(identity / "identity.json"))
    signer = signer_from_pem(read_file(identity / "keys" / "agreement.pem"), party=party.id, use=KeyUse.AGREEMENT)
    named = [item for item in body.parties if item.id == party.id and item.key(KeyUse.AGREEMENT) == signer.key]
    if not named:
        raise ConfigurationInvalid(f"the amendment does not name {party.id} with this key", field="parties")
    if out is None:
        typer.echo("not signed: give --out to sign it")
        return
    write_file(out, sign_document(body, signer).to_bytes())
    typer.echo(f"{out}: signed by {party.id}; give it back to whoever asked (`amend --consent {out.name}`)")
