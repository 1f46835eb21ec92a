"""`propose`, `review`, `counter`, `accept`, `reject`, `withdraw`, `conclude`, `amend`, `terminate`.

Everything we say is in the journal before the lab hears it; an interrupted command is run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from attestations.commands.files import write_file
from attestations.commands.options import moment
from attestations.documents.agreement import Agreement
from attestations.envelope import parse_envelope
from attestations.errors import PhaseViolation
from attestations.files import read_file
from attestations.negotiation.editing import read_draft, write_draft
from attestations.negotiation.ledger import Stand
from attestations.negotiation.messages import Message
from attestations.negotiation.showing import next_steps, review_page, standing
from attestations.negotiation.speaking import amended, until
from attestations.negotiation.thread import Thread
from attestations.rendering.offer_view import offer_page
from auditor_client import proposing
from auditor_client.app import Auditor, auditor
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.engagement import Engagement
from auditor_client.talking import Negotiator

HoursOption = Annotated[float, typer.Option(min=0.05, help="How long the offer is valid; give people time to read.")]
WaitOption = Annotated[int, typer.Option(min=0, help="Seconds to wait for a person at the lab.")]
OutOption = Annotated[Path | None, typer.Option(help="Write what can be negotiated to this file, to edit.")]
EditOption = Annotated[Path | None, typer.Option(help="The edited file (TOML or JSON).")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the lab to read.")]
UnsignedOption = Annotated[Path | None, typer.Option(help="Only write the amendment here, for others to consent to.")]
ConsentOption = Annotated[Path | None, typer.Option(help="Offer the amendment in this file, signed by others.")]
ClauseOption = Annotated[bool, typer.Option("--clause", help="End it alone, as a clause of the agreement allows.")]
EffectiveOption = Annotated[str | None, typer.Option(help="When it ends, e.g. 2027-01-31T12:00:00Z; now if unset.")]
OfferOption = Annotated[str | None, typer.Option(help="The digest of the offer you read; any other is refused.")]
_HOURS = 1 / 6
_LONG_HOURS = 24.0
_PAUSES = (2.0, 4.0, 8.0, 15.0, 30.0)


def propose(
    home: HomeOption = DEFAULT_HOME,
    offer: Annotated[Path | None, typer.Option(help="Our own changes to the lab's terms (TOML or JSON).")] = None,
    out: OutOption = None,
    hours: HoursOption = _HOURS,
    wait: WaitOption = 0,
) -> None:
    """Agree with the lab, on its terms or with changes of our own; both sides sign the same document."""

    async def go(us: Auditor, talks: Negotiator) -> None:
        proposal = us.proposal(hours)
        if out is not None:
            terms = await proposing.fetch_terms(proposal, us.lab, us.journal)
            write_file(out, write_draft(proposing.proposed(proposal, terms, us.clock.now())))
            typer.echo(f"{out}: the lab's terms; edit it, then `safeconduct auditor propose --offer {out}`")
            return
        changes = None
        if offer is not None:
            terms = await proposing.fetch_terms(proposal, us.lab, us.journal)
            base = proposing.proposed(proposal, terms, us.clock.now())
            changes = read_draft(read_file(offer), base, name=offer.name)
        engagement = await proposing.propose(
            proposal, lab=us.lab, journal=us.journal, keys=us.keys, clock=us.clock, changes=changes
        )
        await _told(us, talks, engagement or await _waited(us, talks, wait), home)

    _run(home, go)


def review(
    home: HomeOption = DEFAULT_HOME,
    out: OutOption = None,
    html: Annotated[Path | None, typer.Option(help="Write the offer and what differs as a page to this file.")] = None,
) -> None:
    """Fetch what the lab has said and show the offer on the table, with what differs and what can be done next."""

    async def go(us: Auditor, talks: Negotiator) -> None:
        stood = await talks.sync()
        await proposing.settle(talks, stood, us.keys) if stood.thread.lock is None else None
        terms = proposing.kept_terms(us.journal)
        for line in review_page(stood, "auditor", talks.talk.sides, terms):
            typer.echo(line)
        if html is not None:
            write_file(html, offer_page(stood, "auditor", talks.talk.sides, terms))
        _say_next(stood.thread, home)
        if out is not None:
            write_file(out, write_draft(_base(stood.thread)))

    _run(home, go)


def counter(
    home: HomeOption = DEFAULT_HOME,
    edit: EditOption = None,
    hours: HoursOption = _LONG_HOURS,
    wait: WaitOption = 0,
) -> None:
    """Answer the offer on the table with one of our own."""
    if edit is None:
        raise typer.BadParameter("write it with `safeconduct auditor review --out FILE` first", param_hint="--edit")

    async def go(us: Auditor, talks: Negotiator) -> None:
        await talks.sync()

        def decide(thread: Thread, now: datetime) -> list[Message]:
            base = _base(thread)
            changes = read_draft(read_file(edit), base, name=edit.name)
            body = base.model_copy(update=changes)
            if thread.in_force is not None:
                body = amended(thread.in_force, now, changes)
            return [talks.voice.offer(thread, body, until(now, hours))]

        await talks.step(decide)
        await talks.deliver()
        await _told(us, talks, await _waited(us, talks, wait), home)

    _run(home, go)


def accept(home: HomeOption = DEFAULT_HOME, offer: OfferOption = None, wait: WaitOption = 0) -> None:
    """Accept the lab's offer: our signature is locked until it ends; the lab concludes."""

    async def go(us: Auditor, talks: Negotiator) -> None:
        await talks.sync()
        await talks.step(lambda thread, _: [talks.voice.accept(thread, offer)])
        await talks.deliver()
        await _told(us, talks, await _waited(us, talks, wait), home)

    _run(home, go)


def conclude(home: HomeOption = DEFAULT_HOME) -> None:
    """Sign what the lab has accepted: it is in force, an amendment from its entry in the log on."""

    async def go(us: Auditor, talks: Negotiator) -> None:
        await _told(us, talks, await proposing.settle(talks, await talks.sync(), us.keys), home)

    _run(home, go)


def reject(home: HomeOption = DEFAULT_HOME, reason: ReasonOption = "") -> None:
    """Decline the lab's offer."""
    _say(home, lambda talks: lambda thread, now: [talks.voice.reject(thread, reason, now)])


def withdraw(home: HomeOption = DEFAULT_HOME) -> None:
    """Take our offer off the table, as long as the lab has not accepted it."""
    _say(home, lambda talks: lambda thread, now: [talks.voice.withdraw(thread, now)])


def amend(
    home: HomeOption = DEFAULT_HOME,
    edit: EditOption = None,
    out: OutOption = None,
    unsigned: UnsignedOption = None,
    consent: ConsentOption = None,
    hours: HoursOption = _LONG_HOURS,
    wait: WaitOption = 0,
) -> None:
    """Offer a change of the agreement in force, which holds until both have signed the change and it is logged."""

    async def go(us: Auditor, talks: Negotiator) -> None:
        stood = await talks.sync()
        if stood.thread.in_force is None:
            raise PhaseViolation("no agreement is in force that could be amended")
        consents = None if consent is None else parse_envelope(read_file(consent).strip())
        if edit is None and consents is None:
            text = write_draft(_base(stood.thread))
            if out is None:
                typer.echo(text, nl=False)
            else:
                write_file(out, text)
                typer.echo(f"{out}: edit it, then `safeconduct auditor amend --edit {out}`")
            return
        if unsigned is not None and edit is not None:
            changes = read_draft(read_file(edit), stood.thread.in_force.agreement, name=edit.name)
            write_file(unsigned, amended(stood.thread.in_force, us.clock.now(), changes).to_bytes().decode())
            typer.echo(
                f"{unsigned}: for those it needs to sign with `safeconduct consent`; then `amend --consent FILE`"
            )
            return

        def decide(thread: Thread, now: datetime) -> list[Message]:
            if thread.in_force is None:
                raise PhaseViolation("no agreement is in force that could be amended")
            if consents is not None:
                body = Agreement.parse(consents.payload)
            else:
                changes = read_draft(read_file(edit or Path()), thread.in_force.agreement, name=(edit or Path()).name)
                body = amended(thread.in_force, now, changes)
            return [talks.voice.offer(thread, body, until(now, hours), consents)]

        await talks.step(decide)
        await talks.deliver()
        await _told(us, talks, await _waited(us, talks, wait), home)

    _run(home, go)


def terminate(
    home: HomeOption = DEFAULT_HOME,
    reason: ReasonOption = "",
    clause: ClauseOption = False,
    effective: EffectiveOption = None,
) -> None:
    """Ask to end the agreement, sign the lab's request, or end it alone by a clause; what is owed stays owed."""
    at = moment(effective, "--effective")
    grounds = "clause" if clause else "both"
    _say(
        home,
        lambda talks: (
            lambda thread, now: [
                talks.voice.terminate(thread, grounds=grounds, reason=reason, effective=at or now, now=now)  # type: ignore[arg-type]
            ]
        ),
    )


async def _waited(us: Auditor, talks: Negotiator, seconds: int) -> Engagement | None:
    """Ask the lab again, ever more seldom, until something is in force that was not before, or patience ends."""
    before = await talks.stand()
    deadline = asyncio.get_running_loop().time() + seconds
    for pause in (*_PAUSES, *[_PAUSES[-1]] * 10_000):
        stood = await talks.sync()
        engagement = await proposing.settle(talks, stood, us.keys)
        moved = stood.thread.state != before.thread.state or stood.thread.table != before.thread.table
        left = deadline - asyncio.get_running_loop().time()
        if moved or left <= 0:
            return engagement
        await asyncio.sleep(min(pause, left))
    return None


async def _told(us: Auditor, talks: Negotiator, engagement: Engagement | None, home: Path) -> None:
    stood = await talks.stand()
    if engagement is not None:
        us.log.info("agreement_in_force", agreement=engagement.digest)
        agreement = engagement.agreement
        typer.echo(f"agreement {engagement.digest}")
        typer.echo(f"  variants: {', '.join(agreement.scope.variants)}; runtime {agreement.runtime.level}")
        typer.echo(f"  requests: {agreement.budget.requests}; access until {agreement.access.not_after}")
    if stood.thread.table is not None or engagement is None:
        typer.echo(standing(stood.thread, "auditor"))
        _say_next(stood.thread, home)
        if stood.thread.table is not None and stood.thread.table.by == "auditor":
            typer.echo(f"see the lab's answer: safeconduct auditor review --home {home}")


def _say(home: Path, decision: Callable[[Negotiator], Callable[[Thread, datetime], list[Message]]]) -> None:
    async def go(us: Auditor, talks: Negotiator) -> None:  # noqa: ARG001 - the shape of a command
        await talks.sync()
        await talks.step(decision(talks))
        await talks.deliver()
        stood: Stand = await talks.stand()
        typer.echo(standing(stood.thread, "auditor"))

    _run(home, go)


def _say_next(thread: Thread, home: Path) -> None:
    for line in next_steps(thread, "auditor", f"safeconduct auditor {{}} --home {home}"):
        typer.echo(f"next: {line}")


def _base(thread: Thread) -> Agreement:
    if thread.table is not None:
        return thread.table.offer.body
    if thread.in_force is not None:
        return thread.in_force.agreement
    raise PhaseViolation("nothing is on the table: begin with `safeconduct auditor propose`")


def _run(home: Path, go: Callable[[Auditor, Negotiator], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with _opened(home) as (us, talks):
            await go(us, talks)

    asyncio.run(opened())


@asynccontextmanager
async def _opened(home: Path) -> AsyncIterator[tuple[Auditor, Negotiator]]:
    async with auditor(home) as us:
        mirror = us.mirror()
        try:
            yield us, us.negotiator(mirror)
        finally:
            mirror.close()
