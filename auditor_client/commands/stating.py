"""`consent`, `remediated`, `published`, `correct`, `abort`, `emergency`, `submit`: what an auditor may say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, get_args

import typer

from attestations.digests import sha256
from attestations.documents.analysis import Departure
from attestations.documents.base import format_time
from attestations.documents.disclosing import Severity
from attestations.envelope import parse_envelope
from attestations.errors import ConfigurationInvalid
from attestations.files import read_file
from auditor_client.app import Auditor, auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.grading_run import grade_all
from auditor_client.home import write_private
from auditor_client.stating import Speaker
from auditor_client.viewing import Source


def consent(
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="A class, e.g. C5.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Consent to the release of a class."""
    _say(home, lambda speaker, _: _told(speaker.event("AUDITOR_CONSENT", content_class)))


def remediated(
    finding: Annotated[str, typer.Argument(help="The finding's name.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Confirm that a finding is remedied."""
    _say(home, lambda speaker, _: _told(speaker.event("REMEDIATION_CONFIRMED", finding)))


def published(
    content_class: Annotated[str, typer.Argument(metavar="CLASS", help="A class, e.g. C5.")],
    evidence: Annotated[Path, typer.Option(help="A file that shows it, e.g. a saved page; its digest is stated.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """State that a class is public already; it counts once the lab, or a regulator alone, says so too."""
    digest = sha256(read_file(evidence))
    _say(home, lambda speaker, _: _told(speaker.event("ALREADY_PUBLIC", content_class, evidence=digest)))


def correct(
    document: Annotated[str, typer.Argument(help="The digest of a release, an attestation or a correction.")],
    text: Annotated[str, typer.Option(help="What was wrong and what holds; everybody reads it.")],
    by: Annotated[str | None, typer.Option(help="The digest of what replaces it.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Correct a signed document; it stays in force as what was said."""
    _say(home, lambda speaker, _: _told(speaker.correct(document, text, by)))


def deviate(
    reason: Annotated[str, typer.Argument(help="Why; everybody who gets the log reads it.")],
    what: Annotated[str, typer.Option(help=", ".join(get_args(Departure)))] = "other",
    arm: Annotated[str | None, typer.Option(help="The arm whose figures become the headline.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Declare that the analysis departs from its plan; only before the grades are fixed."""
    if what not in get_args(Departure):
        raise typer.BadParameter(", ".join(get_args(Departure)), param_hint="--what")
    if (what == "headline") != (arm is not None):
        raise typer.BadParameter("exactly a headline names an arm", param_hint="--arm")

    async def told(speaker: Speaker, us: Auditor) -> None:
        registration = us.registration()
        if arm is not None and arm not in registration.arms:
            raise typer.BadParameter("no registered arm", param_hint="--arm")
        await _told(speaker.deviate(what, reason, plan=registration.plan, arm=arm))

    _say(home, told)


def abort(
    reason: Annotated[str, typer.Argument(help="Why; everybody who gets the log reads it.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Give the engagement up. The close statement and S1 are still owed: `close`, then `release S1`."""
    _say(home, lambda speaker, _: _told(speaker.abort(reason)))


def emergency(
    name: Annotated[str, typer.Argument(help="A name for this emergency.")],
    items: Annotated[str, typer.Option(help="The few items meant, e.g. C7:3,5 C5:12.")],
    severity: Annotated[str, typer.Option(help=", ".join(get_args(Severity)))] = "other",
    to: Annotated[list[str] | None, typer.Option(help="Also CLEARED(group) or PEER_AUDITOR; needs two keys.")] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="When it ends.")] = 10,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Tell the lab's safety team and the regulator what cannot wait: always permitted, nobody has to agree."""
    if severity not in get_args(Severity):
        raise typer.BadParameter(", ".join(get_args(Severity)), param_hint="--severity")

    async def told(speaker: Speaker, us: Auditor) -> None:
        graded = await grade_all(us.suite(), journal=us.journal)
        source = Source(us.suite(), us.suite_key(), graded, us.journal)
        until = format_time(us.clock.now() + timedelta(days=days))
        made = await speaker.notify(name, severity, _items(items), to or (), until, source)
        folder = us.home.path / "emergencies"
        folder.mkdir(mode=0o700, exist_ok=True)
        files = {f"{name}.notice.json": made.notice.to_bytes(), f"{name}.jsonl": made.content}
        if made.wider is not None:
            files[f"{name}.wider.json"] = made.wider.to_bytes()
        for file, data in files.items():
            (folder / file).unlink(missing_ok=True)
            write_private(folder / file, data)
            typer.echo(f"{folder / file}")
        typer.echo("The lab has the notice and what it shows; give both files to the regulator.")
        if made.wider is not None:
            typer.echo("The wider release needs the regulator: `regulator countersign`, then `auditor submit`.")

    _say(home, told)


def submit(
    file: Annotated[Path, typer.Argument(help="A signed statement, e.g. a regulator's order.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Put a signed statement into the log."""
    envelope = parse_envelope(read_file(file))
    _say(home, lambda speaker, _: _told(speaker.submit(envelope)))


def _say(home: Path, action: Callable[[Speaker, Auditor], Awaitable[None]]) -> None:
    async def go() -> None:
        async with auditor(home) as us:
            engagement, mirror = us.engagement(), us.mirror()
            try:
                cosigner = us.cosigner(engagement, mirror)
                await action(Speaker(engagement, us.lab, us.journal, cosigner, us.clock), us)
            finally:
                mirror.close()

    asyncio.run(go())


async def _told(stating: Awaitable[object]) -> None:
    receipt = await stating
    index, at = getattr(receipt, "log_index", ""), getattr(receipt, "logged_at", "")
    typer.echo(f"logged as leaf {index} at {at}")


def _items(text: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    try:
        for part in text.split():
            content_class, _, numbers = part.partition(":")
            found += [(content_class, int(number)) for number in numbers.split(",")]
    except ValueError:
        raise ConfigurationInvalid("items are written as C7:3,5 C5:12", field="items") from None
    return found
