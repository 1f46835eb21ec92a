"""`hold`, `consent`, `placed`, `published`, `redact`, `recall`, `submit`: what a lab may say about disclosure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args

import typer

from attestations.digests import sha256
from attestations.documents.base import Document, format_time, validated
from attestations.documents.disclosing import ReasonCode, RecallRequest, Redaction
from attestations.documents.engagement import LogReceipt, PolicyEvent
from attestations.envelope import Envelope, parse_envelope, sign_document
from attestations.errors import EngagementUnknown
from attestations.files import read_file
from lab_server.carrying import statement_wish
from lab_server.deciding import Desk
from lab_server.desk import opened_desk
from lab_server.engagement import Engagement
from lab_server.engagements import Engagements
from lab_server.standing_in import carry
from lab_server.stating import check_loggable

HomeOption = Annotated[Path, typer.Option("--home", help="The lab's folder.")]
AgreementOption = Annotated[
    str | None, typer.Option(help="The agreement's digest or the engagement's name, where there are several.")
]
_HOME = Path("lab")


def hold(
    days: Annotated[int, typer.Argument(min=1, max=9999, help="Business days to hold disclosure back.")],
    reason: Annotated[str, typer.Option(help="Why; everybody who gets the log reads it.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Hold disclosure back once more, within what was agreed and before anything it delays is permitted."""
    _event(home, agreement, "HOLD", str(days), reason=reason)


def consent(
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="A class, e.g. C2.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Consent to the release of a class before its time."""
    _event(home, agreement, "LAB_CONSENT", content_class)


def placed(home: HomeOption = _HOME, agreement: AgreementOption = None) -> None:
    """State that the model is on the market."""
    _event(home, agreement, "MARKET_PLACEMENT", None)


def published(
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="A class, e.g. C5.")],
    evidence: Annotated[Path, typer.Option(help="A file that shows it, e.g. a saved page; its digest is stated.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """State that a class is public already; it counts once the auditor, or a regulator alone, says so too."""
    _event(home, agreement, "ALREADY_PUBLIC", content_class, evidence=sha256(read_file(evidence)))


def redact(
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="C10, the only class a lab may keep closed.")],
    paths: Annotated[list[str], typer.Argument(help="Field paths, e.g. scaffold.")],
    reason: Annotated[str, typer.Option(help=", ".join(get_args(ReasonCode)))] = "LAB_CONFIDENTIAL",
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Ask that fields of yours stay closed in every release."""

    def make(engagement: Engagement, now: str) -> Document:
        value = {"contentClass": content_class, "paths": paths, "reason": reason}
        return validated(Redaction, value | {"agreement": engagement.digest, "statedAt": now})

    state(home, agreement, make)


def recall(
    release: Annotated[str, typer.Argument(help="The digest of a release, as `lab status` shows it.")],
    reason: Annotated[str, typer.Option(help="Why; everybody who gets the log reads it.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Ask recipients not to pass a release on. What was released stays released."""

    def make(engagement: Engagement, now: str) -> Document:
        value = {"agreement": engagement.digest, "release": release, "reason": reason, "statedAt": now}
        return validated(RecallRequest, value)

    state(home, agreement, make)


def submit(
    file: Annotated[
        Path, typer.Argument(help="A signed statement, e.g. a regulator's order or an escrow holder's receipt.")
    ],
    home: HomeOption = _HOME,
) -> None:
    """Put another party's signed statement into the log it is about."""
    _log(home, lambda *_: parse_envelope(read_file(file).strip()))


COMMANDS = (hold, consent, placed, published, redact, recall, submit)


def _event(home: Path, agreement: str | None, event: str, argument: str | None, **extra: str) -> None:
    def make(engagement: Engagement, now: str) -> Document:
        value = {"agreement": engagement.digest, "event": event, "argument": argument, "statedAt": now}
        return validated(PolicyEvent, value | extra)

    state(home, agreement, make)


def state(home: Path, agreement: str | None, make: Callable[[Engagement, str], Document]) -> None:
    """Sign what `make` gives at the present instant and have it logged."""

    def signed(engagements: Engagements, desk: Desk) -> Envelope:
        document = make(find(engagements, agreement), format_time(desk.clock.now()))
        return sign_document(document, desk.keys.agreement)

    _log(home, signed)


def _log(home: Path, make: Callable[[Engagements, Desk], Envelope]) -> None:
    receipt = asyncio.run(_logged(home, make))
    typer.echo(f"logged as leaf {receipt.log_index} at {receipt.logged_at}")


async def _logged(home: Path, make: Callable[[Engagements, Desk], Envelope]) -> LogReceipt:
    async with opened_desk(home) as desk:
        engagements = Engagements(keys=desk.keys, store=desk.store, clock=desk.clock)
        await engagements.restore()
        envelope = make(engagements, desk)
        check_loggable(engagements, envelope)
        answer = await carry(desk, statement_wish(envelope))
    return LogReceipt.parse(parse_envelope(answer.encode()).payload)


def find(engagements: Engagements, wanted: str | None) -> Engagement:
    """Return the engagement of this digest or name, or the only one.

    Raises:
        EngagementUnknown: there is not exactly one.
    """
    found = [item for item in engagements.all if wanted in (None, item.digest, item.agreement.engagement)]
    if len(found) != 1:
        names = ", ".join(item.agreement.engagement for item in engagements.all) or "none"
        raise EngagementUnknown(f"say which agreement with --agreement; in force: {names}")
    return found[0]
