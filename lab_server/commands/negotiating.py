"""`offers`, `review`, `counter`, `accept`, `reject`, `withdraw`, `conclude`, `amend`, `terminate`.

They work while `lab serve` runs and when it does not: both read and extend the same store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.files import write_file
from attestations.commands.options import moment
from attestations.envelope import parse_envelope
from attestations.files import read_file
from attestations.negotiation.editing import write_draft
from attestations.negotiation.showing import next_steps, review_page, standing
from attestations.negotiation.thread import Thread
from attestations.rendering.offer_view import offer_page
from lab_server.carrying import DONE, conclude_wish, terminate_wish
from lab_server.deciding import Case, Desk
from lab_server.desk import opened_desk
from lab_server.standing_in import carry

HomeOption = Annotated[Path, typer.Option("--home", help="The lab's folder.")]
AuditorOption = Annotated[str | None, typer.Option(help="Which auditor, if two use the engagement's name.")]
EngagementArgument = Annotated[str, typer.Argument(help="The engagement's name, as `lab offers` shows it.")]
HoursOption = Annotated[int | None, typer.Option(min=1, help="How long our offer is valid; default offer_hours.")]
UnsignedOption = Annotated[Path | None, typer.Option(help="Only write the amendment here, for others to consent to.")]
ConsentOption = Annotated[Path | None, typer.Option(help="Offer the amendment in this file, signed by others.")]
ClauseOption = Annotated[bool, typer.Option("--clause", help="End it alone, as a clause of the agreement allows.")]
EffectiveOption = Annotated[str | None, typer.Option(help="When it ends, e.g. 2027-01-31T12:00:00Z; now if unset.")]
_HOME = Path("lab")


def offers(home: HomeOption = _HOME) -> None:
    """List every negotiation: with whom, where it stands, whose turn it is."""

    async def go(desk: Desk) -> None:
        cases = await desk.cases()
        for case in cases:
            stood = await desk.stand(case)
            typer.echo(f"{case.engagement} with {case.auditor.id}: {standing(stood.thread, 'lab')}")
            wish = await desk.wished(case.name)
            if wish is not None and wish.answer not in (None, DONE):
                typer.echo(f"  our last decision could not be carried out: {wish.answer}")
        if not cases:
            typer.echo("no auditor has offered anything yet")

    _run(home, go)


def review(
    engagement: EngagementArgument,
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    out: Annotated[Path | None, typer.Option(help="Write what can be negotiated to this file, to edit.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the offer and what differs as a page to this file.")] = None,
) -> None:
    """Show the offer on the table as a page, what differs from our terms, and what changed since the offer before."""

    async def go(desk: Desk, case: Case) -> None:
        stood, terms = await desk.stand(case), await desk.terms(case)
        for line in review_page(stood, "lab", case.talk.sides, terms):
            typer.echo(line)
        if html is not None:
            write_file(html, offer_page(stood, "lab", case.talk.sides, terms))
        _say_next(case, stood.thread, home)
        if out is not None:
            write_file(out, write_draft(desk.base(stood.thread)))

    _run_case(home, engagement, auditor, go)


def counter(
    engagement: EngagementArgument,
    edit: Annotated[Path, typer.Option(help="The edited file (TOML or JSON), made by `lab review --out`.")],
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    hours: HoursOption = None,
) -> None:
    """Answer the offer on the table with one of our own."""

    async def go(desk: Desk, case: Case) -> None:
        digest = await desk.counter(case, read_file(edit), name=edit.name, hours=hours)
        typer.echo(f"offered {digest}; the auditor sees it with `safeconduct auditor review`")

    _run_case(home, engagement, auditor, go)


def amend(
    engagement: EngagementArgument,
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    edit: Annotated[Path | None, typer.Option(help="The edited file (TOML or JSON).")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the agreement in force to this file, to edit.")] = None,
    unsigned: UnsignedOption = None,
    consent: ConsentOption = None,
    hours: HoursOption = None,
) -> None:
    """Offer a change of the agreement in force, which holds until both have signed the change and it is logged."""

    async def go(desk: Desk, case: Case) -> None:
        stood = await desk.stand(case)
        if consent is not None:
            digest = await desk.offer_consented(case, parse_envelope(read_file(consent).strip()), hours=hours)
            typer.echo(f"offered amendment {digest}; the agreement in force stays until both have signed it")
            return
        if out is not None or edit is None:
            text = write_draft(desk.base(stood.thread))
            if out is None:
                typer.echo(text, nl=False)
            else:
                write_file(out, text)
                typer.echo(f"{out}: edit it, then `safeconduct lab amend {engagement} --edit {out} --home {home}`")
            return
        if unsigned is not None:
            write_file(unsigned, (await desk.amendment(case, read_file(edit), name=edit.name)).to_bytes().decode())
            typer.echo(
                f"{unsigned}: for those it needs to sign with `safeconduct consent`; then `amend --consent FILE`"
            )
            return
        digest = await desk.counter(case, read_file(edit), name=edit.name, hours=hours)
        typer.echo(f"offered amendment {digest}; the agreement in force stays until both have signed it")

    _run_case(home, engagement, auditor, go)


def accept(
    engagement: EngagementArgument,
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    offer: Annotated[str | None, typer.Option(help="The digest of the offer you read; any other is refused.")] = None,
) -> None:
    """Accept the auditor's offer: our signature is locked until it ends; the auditor concludes."""

    async def go(desk: Desk, case: Case) -> None:
        stood = await desk.accept(case, offer)
        assert stood.thread.lock is not None  # noqa: S101 - what accepting means
        typer.echo(f"accepted {stood.thread.lock.agreement.digest}: {standing(stood.thread, 'lab')}")

    _run_case(home, engagement, auditor, go)


def reject(
    engagement: EngagementArgument,
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    reason: Annotated[str, typer.Option(help="Why, for the auditor to read.")] = "",
) -> None:
    """Decline the auditor's offer."""

    async def go(desk: Desk, case: Case) -> None:
        typer.echo(f"rejected: {standing((await desk.reject(case, reason)).thread, 'lab')}")

    _run_case(home, engagement, auditor, go)


def withdraw(engagement: EngagementArgument, home: HomeOption = _HOME, auditor: AuditorOption = None) -> None:
    """Take our offer off the table, as long as the auditor has not accepted it."""

    async def go(desk: Desk, case: Case) -> None:
        typer.echo(f"withdrawn: {standing((await desk.withdraw(case)).thread, 'lab')}")

    _run_case(home, engagement, auditor, go)


def conclude(engagement: EngagementArgument, home: HomeOption = _HOME, auditor: AuditorOption = None) -> None:
    """Sign what the auditor has accepted: it is in force, an amendment from its entry in the log on."""

    async def go(desk: Desk, case: Case) -> None:
        stood = await desk.stand(case)
        message = case.voice.conclude(stood.thread)
        await carry(desk, conclude_wish(case.name))
        typer.echo(f"in force: agreement {message.envelope.digest}")

    _run_case(home, engagement, auditor, go)


def terminate(
    engagement: EngagementArgument,
    home: HomeOption = _HOME,
    auditor: AuditorOption = None,
    reason: Annotated[str, typer.Option(help="Why, for the auditor and the log.")] = "",
    clause: ClauseOption = False,
    effective: EffectiveOption = None,
) -> None:
    """Ask to end the agreement, sign the auditor's request, or end it alone by a clause; what is owed stays owed."""

    async def go(desk: Desk, case: Case) -> None:
        at = moment(effective, "--effective")
        message = await desk.terminate(case, grounds="clause" if clause else "both", reason=reason, effective=at)
        if message is None:
            typer.echo("asked for; it ends once the auditor has signed too (`safeconduct auditor terminate`)")
            return
        await carry(desk, terminate_wish(case.name, message))
        typer.echo(f"terminated from {message.document.effective_at}; releases, close and packages stay owed")

    _run_case(home, engagement, auditor, go)


def _say_next(case: Case, thread: Thread, home: Path) -> None:
    command = f"safeconduct lab {{}} {case.engagement} --home {home}"
    for line in next_steps(thread, "lab", command):
        typer.echo(f"next: {line}")


def _run(home: Path, go: Callable[[Desk], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with opened_desk(home) as desk:
            await go(desk)

    asyncio.run(opened())


def _run_case(home: Path, engagement: str, auditor: str | None, go: Callable[[Desk, Case], Awaitable[None]]) -> None:
    async def found(desk: Desk) -> None:
        await go(desk, await desk.case(engagement, auditor))

    _run(home, found)
