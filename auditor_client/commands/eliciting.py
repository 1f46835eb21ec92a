"""`dev disclose`, `pack accept`: DEV tasks opened to the lab, and the lab's advice taken in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from attestations.envelope import parse_envelope
from attestations.files import read_file
from auditor_client.app import auditor
from auditor_client.beginning import begin
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.eliciting.disclosing import accept_pack, dev_file
from auditor_client.eliciting.pack_findings import LEAKS, pack_findings
from auditor_client.history import read_history
from auditor_client.home import write_private
from auditor_client.stating import Speaker

_MAX_PACK_BYTES = 8 << 20
dev = typer.Typer(help="Tasks that the lab may see, to help elicit its model.", no_args_is_help=True)
pack = typer.Typer(help="The lab's elicitation pack.", no_args_is_help=True)


@dev.command()
def disclose(
    into: Annotated[Path, typer.Option(help="Where to write the file for the lab; it holds the DEV tasks in plain.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Open exactly the DEV tasks to the lab, proved to be of the registered suite, and log that it was done."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement, mirror = us.engagement(), us.mirror()
            try:
                await begin(us, engagement, mirror)
                cosigner = us.cosigner(engagement, mirror)
                await cosigner.cosign()
                course = read_history(mirror, engagement.agreement, engagement.digest).ledger.elicitation
                data, tasks = dev_file(us.suite(), us.suite_key(), us.registration())
                into.unlink(missing_ok=True)
                write_private(into, data)
                if course.disclosed is None:
                    speaker = Speaker(engagement, us.lab, us.journal, cosigner, us.clock)
                    receipt = await speaker.disclosed(data, tasks)
                    typer.echo(f"logged as leaf {receipt.log_index} at {receipt.logged_at}")
            finally:
                mirror.close()
            typer.echo(f"{into}: DEV tasks in plain text: {tasks}; give it to the lab, which answers with a pack")
            days = engagement.agreement.clauses.elicitation_days
            if days is not None:
                typer.echo(f"The lab has {days} days; TEST does not begin before it has answered or they are over.")

    asyncio.run(go())


@pack.command()
def accept(
    file: Annotated[Path, typer.Argument(help="The lab's signed pack, as `lab pack submit` wrote it.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Take the lab's pack in, once it is the one the lab locked in the log; the next `run` asks its arm on DEV."""

    async def go() -> None:
        async with auditor(home) as us:
            engagement, mirror = us.engagement(), us.mirror()
            try:
                await us.cosigner(engagement, mirror).cosign()
                course = read_history(mirror, engagement.agreement, engagement.digest).ledger.elicitation
            finally:
                mirror.close()
            envelope = parse_envelope(read_file(file, _MAX_PACK_BYTES))
            found = await accept_pack(envelope, engagement=engagement, course=course, journal=us.journal)
            typer.echo(f"accepted the lab's pack {envelope.digest[:16]}")
            for mode in found.failure_modes:
                typer.echo(f"  known failure: {mode}")
            if found.tokens:
                typer.echo(f"  {len(found.tokens)} special tokens or passwords are listed")
            findings = pack_findings(found, us.suite())
            for finding in findings:
                typer.echo(f"  CAUTION: {finding}")
            if any(finding.rule in LEAKS for finding in findings):
                typer.echo("  Hidden tasks are known at the lab: say so in the log with `safeconduct auditor deviate`.")
            typer.echo("Next: `safeconduct auditor run`.")

    asyncio.run(go())
