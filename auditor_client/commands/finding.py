"""`finding`: a flaw report to those who can mend it, and its notice to the log."""

from __future__ import annotations

import asyncio
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from attestations.documents.base import format_time
from attestations.documents.finding import SALT_BYTES
from attestations.envelope import Envelope
from attestations.errors import ConfigurationInvalid
from attestations.files import shown
from auditor_client.app import Auditor, auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.flaw_reports import keep_report, kept_report, read_flaw, report_file
from auditor_client.stating import Speaker

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it names a file


def finding(
    name: Annotated[str, typer.Argument(help="A name for it, e.g. F1; everybody who gets the log reads the name.")],
    report: Annotated[
        Path | None, typer.Option(help="A TOML file: variant, title, severity, description and more (see the guide).")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Who is given it; by default LAB_SAFETY and REGULATOR. Repeatable.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="State that there is no finding for them.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Give a finding to those who can mend it; the log shows to whom and when, and nothing of what it says."""
    if _NAME.fullmatch(name) is None:
        raise typer.BadParameter("letters, digits, dots, hyphens and underscores", param_hint="NAME")
    if none and report is not None:
        raise typer.BadParameter("either a report, or none", param_hint="--none")
    recipients = tuple(dict.fromkeys(to or ("LAB_SAFETY", "REGULATOR")))

    async def go() -> None:
        async with auditor(home) as us:
            engagement, mirror = us.engagement(), us.mirror()
            try:
                speaker = Speaker(engagement, us.lab, us.journal, us.cosigner(engagement, mirror), us.clock)
                await speaker.may_have_findings(recipients, mirror)
                given = None if none else _signed(us, name, report)
                receipt = await speaker.found(name, recipients, given)
            finally:
                mirror.close()
            typer.echo(f"logged as leaf {receipt.log_index} at {receipt.logged_at}")
            if given is not None:
                path = report_file(us.home, name)
                typer.echo(f"{shown(path)}: give it to {', '.join(recipients)} (TLP:AMBER+STRICT); they check it with")
                typer.echo("`safeconduct finding` and any evidence file made from here on.")

    asyncio.run(go())


def _signed(us: Auditor, name: str, report: Path | None) -> Envelope:
    kept = kept_report(us.home, name)
    if kept is not None:
        if report is not None:
            raise ConfigurationInvalid(
                f"there is a finding {name} already; leave --report out to give it to others",
                field="name",
            )
        return kept
    if report is None:
        raise ConfigurationInvalid("a finding needs --report, or --none if there is nothing to report", field="report")
    engagement = us.engagement()
    flaw = read_flaw(
        report,
        agreement=engagement.digest,
        name=name,
        found_at=format_time(us.clock.now()),
        salt=secrets.token_bytes(SALT_BYTES),
    )
    if engagement.variant(flaw.variant) is None:
        agreed = ", ".join(variant.id for variant in engagement.agreement.variants)
        raise ConfigurationInvalid(f"{flaw.variant} is none of the agreement's variants: {agreed}", field="variant")
    return keep_report(us.home, flaw, engagement.keys.publication)
