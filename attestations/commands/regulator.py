"""`safeconduct regulator`: signed statements as files, which lab or auditor put into the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from attestations.container import Container
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import Document, format_time, validated
from attestations.documents.disclosing import EmergencyNotice, Order, RecallRequest, Redaction, Verdict
from attestations.documents.engagement import PolicyEvent
from attestations.envelope import Envelope, Signature, pae, parse_envelope, sign_document
from attestations.errors import ConfigurationInvalid, PayloadTypeMismatch
from attestations.files import open_file, read_file, unwritable
from attestations.identity import parse_identity
from attestations.keys import KeyUse, Signer, signer_from_pem

app = typer.Typer(help="Order, hold, countersign and confirm, as signed files.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--home", help="Your folder, made by `safeconduct identity new`.")]
Source = Annotated[Path, typer.Argument(metavar="AGREEMENT", help="An evidence file, or agreement.dsse.json from one.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write the signed file.")]
Classes = Annotated[list[str], typer.Option("--class", help="A class, e.g. C7; repeatable.")]
Recipients = Annotated[list[str], typer.Option(help="A recipient, e.g. REGULATOR; repeatable.")]
_HOME = Path("regulator")


@app.command()
def order(
    agreement: Source,
    classes: Classes,
    to: Recipients,
    basis: Annotated[str, typer.Option(help="The legal basis; everybody who gets the log reads it.")],
    out: Out,
    name: Annotated[str, typer.Option("--id", help="The order's name.")] = "order-1",
    days: Annotated[int, typer.Option(min=1, max=3650, help="When it expires.")] = 30,
    home: Folder = _HOME,
) -> None:
    """Order classes released to recipients, within what the agreed policy lets an order open."""
    now = datetime.now(UTC)
    value = {
        "id": name,
        "legalBasis": basis,
        "classes": classes,
        "to": to,
        "issuedAt": _time(now),
        "expiresAt": _time(now + timedelta(days=days)),
    }
    _write(home, agreement, Order, value, out)


@app.command()
def hold(
    agreement: Source,
    days: Annotated[int, typer.Argument(min=1, max=9999, help="Business days.")],
    reason: Annotated[str, typer.Option(help="Why; everybody who gets the log reads it.")],
    out: Out,
    home: Folder = _HOME,
) -> None:
    """Hold disclosure back once more, within what was agreed."""
    _write(home, agreement, PolicyEvent, {"event": "HOLD", "argument": str(days), "reason": reason} | _stated(), out)


@app.command()
def placed(agreement: Source, out: Out, home: Folder = _HOME) -> None:
    """State that the model is on the market."""
    _write(home, agreement, PolicyEvent, {"event": "MARKET_PLACEMENT", "argument": None} | _stated(), out)


@app.command()
def published(
    agreement: Source,
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="A class, e.g. C5.")],
    evidence: Annotated[Path, typer.Option(help="A file that shows it; its digest is stated.")],
    out: Out,
    home: Folder = _HOME,
) -> None:
    """State that a class is public already; a regulator's word is enough."""
    value = {"event": "ALREADY_PUBLIC", "argument": content_class, "evidence": sha256(read_file(evidence))}
    _write(home, agreement, PolicyEvent, value | _stated(), out)


@app.command()
def redact(
    agreement: Source,
    paths: Annotated[list[str], typer.Argument(help="Field paths, e.g. hazardExcerpt.")],
    out: Out,
    content_class: Annotated[str, typer.Option("--class", help="C9, the only class a regulator may close.")] = "C9",
    reason: Annotated[str, typer.Option(help="A reason code.")] = "HAZARD",
    home: Folder = _HOME,
) -> None:
    """Ask that hazardous fields stay closed even where the policy opens them."""
    value = {"contentClass": content_class, "paths": paths, "reason": reason}
    _write(home, agreement, Redaction, value | _stated(), out)


@app.command()
def recall(
    agreement: Source,
    release: Annotated[str, typer.Argument(help="The digest of a release.")],
    reason: Annotated[str, typer.Option(help="Why; everybody who gets the log reads it.")],
    out: Out,
    home: Folder = _HOME,
) -> None:
    """Ask recipients not to pass a release on. What was released stays released."""
    _write(home, agreement, RecallRequest, {"release": release, "reason": reason} | _stated(), out)


@app.command()
def countersign(
    file: Annotated[Path, typer.Argument(help="An emergency notice the auditor signed.")],
    out: Out,
    home: Folder = _HOME,
) -> None:
    """Give the second key to a wider emergency release, once you have read what it shows."""
    envelope = parse_envelope(read_file(file))
    if envelope.payload_type != EmergencyNotice.payload_type:
        raise PayloadTypeMismatch(f"{file} is not an emergency notice")
    notice, signer = EmergencyNotice.parse(envelope.payload), _signer(home)
    signature = Signature(signer.key.id, signer.sign(pae(envelope.payload_type, envelope.payload)))
    both = Envelope(envelope.payload_type, envelope.payload, (*envelope.signatures, signature))
    _save(out, both)
    typer.echo(f"{out}: {', '.join(notice.to)} may see {len(notice.items)} items until {notice.expires_at}")


@app.command()
def receipt(
    file: Annotated[Path, typer.Argument(help="An evidence file you got.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    into: Annotated[Path, typer.Option(help="A folder for the signed receipts, one a release.")],
    home: Folder = _HOME,
) -> None:
    """Verify an evidence file and say of each release it shows whether it holds."""
    from attestations.trust import parse_trust  # noqa: PLC0415 - other commands need no verifier
    from attestations.verify.engine import Request, examine  # noqa: PLC0415

    trusted, signer = parse_trust(read_file(trust)), _signer(home)
    with open_file(file) as stream:
        found = examine(Container(stream), trusted, Request())
        report, (agreed, log) = found.report, found.ground()
    into.mkdir(parents=True, exist_ok=True)
    for digest, made in log.ledger.releases.items():
        if made.document.recipient != report.recipient:
            continue
        value = {"release": digest, "holds": report.holds, "exitCode": int(report.exit_code)} | _stated()
        document = validated(Verdict, value | {"agreement": agreed.digest})
        path = into / f"{made.document.content_class}-{digest[:12]}.json"
        _save(path, sign_document(document, signer))
        typer.echo(f"{path}: {made.document.content_class} {'holds' if report.holds else 'does not hold'}")


def _write(home: Path, agreement: Path, kind: type[Document], value: dict[str, Any], out: Path) -> None:
    signer = _signer(home)
    envelope = _agreement(agreement)
    agreed = Agreement.parse(envelope.payload)
    if not any(party.id == signer.key.party and party.role == "regulator" for party in agreed.parties):
        raise ConfigurationInvalid(f"the agreement names no regulator {signer.key.party}", field="agreement")
    document = validated(kind, value | {"agreement": envelope.digest})
    _save(out, sign_document(document, signer))
    typer.echo(f"{out}: give this to the lab or the auditor, who put it into the log with `submit`")


def _agreement(path: Path) -> Envelope:
    data = read_file(path)
    if data[:4] != b"PK\x03\x04":
        return parse_envelope(data)
    with open_file(path) as stream:
        return parse_envelope(Container(stream).read("agreement.dsse.json", limit=4 << 20))


def _signer(home: Path) -> Signer:
    party = parse_identity(read_file(home / "identity.json")).party()
    signer = signer_from_pem(read_file(home / "keys" / "agreement.pem"), party=party.id, use=KeyUse.AGREEMENT)
    if signer.key.public != party.key(KeyUse.AGREEMENT).public:
        raise ConfigurationInvalid("keys/agreement.pem is not the key that identity.json names", field="keys")
    return signer


def _stated() -> dict[str, str]:
    return {"statedAt": _time(datetime.now(UTC))}


def _time(moment: datetime) -> str:
    return format_time(moment.replace(microsecond=0))


def _save(path: Path, envelope: Envelope) -> None:
    try:
        path.write_bytes(envelope.to_bytes())
    except OSError as error:
        raise unwritable(path, error) from None
