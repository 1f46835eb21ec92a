"""`safeconduct escrow`: what a holder does with its shares, and how a quorum opens what an auditor owes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.keeping import Keeping, read, write
from attestations.commands.options import moment_or_now
from attestations.container import Container
from attestations.documents.base import format_time
from attestations.documents.escrow import LivenessChallenge
from attestations.envelope import Envelope, parse_envelope, sign_document
from attestations.errors import CommitmentMismatch, FileUnusable
from attestations.escrow import liveness
from attestations.escrow.dealing import holder_of
from attestations.escrow.holding import LoggedManifest
from attestations.escrow.share_file import open_manifests, parse_share_file
from attestations.files import open_file
from attestations.identity import Identity
from attestations.keys import KeyUse
from attestations.trust import Trust, parse_trust
from attestations.verify.holder import Holder, combine_releases, prepare_release
from attestations.verify.parties import Parties, check_agreement, read_agreement

app = typer.Typer(help="Hold shares of class keys, and open what an auditor owes.", no_args_is_help=True)

SharesArgument = Annotated[Path, typer.Argument(help="The file of shares the auditor handed over.")]
TrustOption = Annotated[Path, typer.Option(help="Whose keys you trust (made by `safeconduct trust`).")]
HomeOption = Annotated[Path, typer.Option("--home", help="Your folder (made by `safeconduct identity new`).")]


@dataclass(frozen=True)
class _Shares:
    """A checked file of shares."""

    holder: str
    parties: Parties
    manifests: tuple[LoggedManifest, ...]


@app.command()
def verify(
    shares: SharesArgument,
    trust: TrustOption,
    home: HomeOption,
    out: Annotated[Path | None, typer.Option(help="Where to write your receipt.")] = None,
) -> None:
    """Open your shares, check them against the public commitments, and sign a receipt for the auditor."""
    file, holder = _shares(shares, trust), _holder(home)
    _check_own(file, holder)
    now = format_time(moment_or_now(None))
    document = liveness.verified(file.manifests, holder.key, holder=holder.name, agreement=file.parties.digest, at=now)
    path = out or Path(f"escrow-verified-{holder.name}.json")
    write(path, sign_document(document, holder.signer).to_bytes())
    classes = ", ".join(held.content_class for held in document.classes)
    typer.echo(f"{path}: your shares of {classes} fit the commitments; give this receipt to the auditor and the lab")
    typer.echo("This does not show that the sealed keys are the right ones: that shows when a quorum opens them.")


@app.command()
def challenge(
    shares: SharesArgument,
    holder: Annotated[str, typer.Option(help="The holder you ask.")],
    trust: TrustOption,
    home: HomeOption,
    out: Annotated[Path, typer.Option(help="Where to write the question.")] = Path("escrow-challenge.json"),
    days: Annotated[int, typer.Option(min=1, max=90, help="How many days the holder has.")] = 14,
) -> None:
    """Ask a holder whether it still holds its shares; any party of the agreement may."""
    parties, _ = _parties(read(shares), trust)
    holder_of(parties.agreement, holder)
    own = Keeping(home)
    identity = own.identity()
    now = moment_or_now(None)
    document = LivenessChallenge(
        agreement=parties.digest,
        by=identity.id,
        holder=holder,
        nonce=secrets.token_hex(32),
        asked_at=format_time(now),
        answer_by=format_time(now + timedelta(days=days)),
    )
    write(out, sign_document(document, own.signer(identity)).to_bytes())
    typer.echo(f"{out}: send this to {holder}, who answers with `safeconduct escrow alive`")


@app.command()
def alive(
    question: Annotated[Path, typer.Argument(help="A question made by `safeconduct escrow challenge`.")],
    shares: SharesArgument,
    trust: TrustOption,
    home: HomeOption,
    out: Annotated[Path, typer.Option(help="Where to write the answer.")] = Path("escrow-answer.json"),
) -> None:
    """Answer whether you still hold your shares, with a proof that anyone can check and that tells nothing else."""
    file, holder = _shares(shares, trust), _holder(home)
    _check_own(file, holder)
    asked = parse_envelope(read(question))
    opened = liveness.open_challenge(asked, file.parties.agreement, file.parties.digest)
    document = liveness.answer(
        asked, opened, file.manifests, holder.key, holder=holder.name, at=format_time(moment_or_now(None))
    )
    write(out, sign_document(document, holder.signer).to_bytes())
    typer.echo(f"{out}: send this to {opened.by}")


@app.command()
def answered(
    answer: Annotated[Path, typer.Argument(help="The holder's answer.")],
    question: Annotated[Path, typer.Argument(help="The question that was asked.")],
    shares: SharesArgument,
    trust: TrustOption,
) -> None:
    """Check a holder's answer."""
    file = _shares(shares, trust)
    found = liveness.check_answer(
        parse_envelope(read(answer)),
        parse_envelope(read(question)),
        file.manifests,
        agreement=file.parties.agreement,
        digest=file.parties.digest,
    )
    typer.echo(f"{found.holder} held all its shares at {found.answered_at}")


@app.command()
def release(
    evidence: Annotated[Path, typer.Argument(help="An evidence file of the audit.")],
    content_class: Annotated[str, typer.Option("--class", help="The class that is owed, e.g. C2.")],
    rule: Annotated[str, typer.Option(help="The id of the rule that obliges it, or that waits for the order.")],
    trust: TrustOption,
    home: HomeOption,
    at: Annotated[str | None, typer.Option(help="When it is overdue, e.g. 2027-01-31T12:00:00Z; now if unset.")] = None,
    order: Annotated[
        str | None, typer.Option(help="Release on a regulator's order in the log: its name, or its digest.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write your release.")] = None,
) -> None:
    """Release your shares of one class, if the evidence verifies and shows that it is surely overdue, or ordered."""
    holder = _holder(home)
    with open_file(evidence) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        envelope = prepare_release(
            Container(stream),
            digest,
            holder,
            _trust(trust),
            content_class=content_class,
            rule_id=rule,
            at=moment_or_now(at),
            now=datetime.now(UTC),
            order=order,
        )
    path = out or Path(f"share-release-{content_class}-{holder.name}.json")
    write(path, envelope.to_bytes())
    typer.echo(f"{path}: your shares of {content_class} for whom {rule} names; give this to them")


@app.command()
def combine(
    releases: Annotated[list[Path], typer.Argument(help="The releases of holders.")],
    evidence: Annotated[Path, typer.Option(help="An evidence file of the audit.")],
    trust: TrustOption,
    out: Annotated[Path, typer.Option(help="Where to write what they open, e.g. escrow-release-C2.json.")],
    home: Annotated[Path | None, typer.Option("--home", help="Your folder, if the shares are sealed to you.")] = None,
) -> None:
    """Open a class from the releases of a quorum, and check that it opens what the auditor sealed."""
    envelopes = [parse_envelope(read(path)) for path in releases]
    keeping = None if home is None else Keeping(home)
    with open_file(evidence) as stream:
        found = combine_releases(
            Container(stream),
            envelopes,
            _trust(trust),
            own=None if keeping is None else keeping.identity().id,
            key=None if keeping is None else keeping.receive_key(),
        )
    for fault in found.faults:
        typer.echo(f"left out: {fault.message} [{fault.reason}]", err=True)
    write(out, found.release.to_bytes(), private=True)
    typer.echo(
        f"{out}: {found.release.content_class} for {found.recipient}, released by {', '.join(found.holders)};"
        " it holds the key, so hand it to nobody else"
    )
    typer.echo(f"Next: `safeconduct verify {evidence} --trust {trust} --escrow {out}`.")


def _shares(path: Path, trust: Path) -> _Shares:
    data = read(path)
    parties, manifests = _parties(data, trust)
    file = parse_share_file(data)
    return _Shares(file.holder, parties, open_manifests(manifests, parties, holder=file.holder))


def _parties(data: bytes, trust: Path) -> tuple[Parties, Sequence[Envelope]]:
    file, trusted = parse_share_file(data), _trust(trust)
    parties = read_agreement(file.agreement, trusted)
    check_agreement(parties, trusted)
    return parties, file.manifests


def _holder(home: Path) -> Holder:
    keeping = Keeping(home)
    identity: Identity = keeping.identity()
    return Holder(identity.id, keeping.signer(identity), keeping.receive_key())


def _check_own(file: _Shares, holder: Holder) -> None:
    if file.holder != holder.name:
        raise FileUnusable(f"this file of shares is for {file.holder}, you are {holder.name}", holder=file.holder)
    named = holder_of(file.parties.agreement, holder.name)
    ours = {KeyUse.AGREEMENT: holder.signer.key.public, KeyUse.RECEIVE: holder.key.public}
    for use, public in ours.items():
        if named.key(use).public != public:
            raise CommitmentMismatch(f"the agreement names another {use.value} key of yours", use=use.value)


def _trust(path: Path) -> Trust:
    return parse_trust(read(path))
