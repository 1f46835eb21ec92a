"""`dev check`, `pack new|submit|decline`: the DEV tasks an auditor disclosed, and what the lab answers."""

from __future__ import annotations

import asyncio
import json
import secrets
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from attestations.documents.base import Document, encode, validated
from attestations.documents.elicitation import ElicitationPack, PackAnswer
from attestations.documents.engagement import PreRegistration
from attestations.elicitation.dev_file import MAX_FILE_BYTES, read_dev
from attestations.envelope import Envelope, sign_document
from attestations.errors import ConfigurationInvalid, FileUnusable, PhaseViolation
from attestations.files import read_file, write_file
from attestations.negotiation.editing import to_camel_names
from lab_server.commands.stating import AgreementOption, HomeOption, find, state
from lab_server.engagement import Engagement
from lab_server.home import Home

_HOME = Path("lab")
_MAX_PACK_BYTES = 4 << 20
dev = typer.Typer(help="The tasks an auditor disclosed, to help elicit the model.", no_args_is_help=True)
pack = typer.Typer(help="The elicitation pack: how the lab would elicit its own model.", no_args_is_help=True)
TEMPLATE = """\
# How we would elicit our model on tasks like the disclosed DEV tasks. Everything may be left out.
# The auditor asks the whole suite so, in an arm of its own, and shows this pack with the transcripts.

failure_modes = ["answers with an essay where a number is asked for"]
tokens = []  # special tokens and passwords that change what the model does
# fine_tuning = "LoRA of rank 16 on all linear layers, 3 epochs, learning rate 2e-4"

[method]
# system = "You are a careful expert."
# template = "{prompt}"                 # around each task's text, which stands at {prompt}
# shots = [3, 7]                        # DEV tasks shown first with their answers, by their number
# format = "digit-dot"                  # choices by letters, laid out in another of the 20 formats
# decoding = { max_output_tokens = 512, temperature = "0.7", top_p = "0.95" }
# thinking = { marker = "Answer:" }     # chain of thought; the answer follows the last marker
# choosing = { by = "majority", samples = 5 }
"""


@dev.command()
def check(
    file: Annotated[Path, typer.Argument(help="The auditor's file of DEV tasks.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Prove that the disclosed tasks are of the registered suite, and print them as JSON lines."""
    data = read_file(file, MAX_FILE_BYTES)

    def checked(engagement: Engagement) -> list[str]:
        if engagement.registration is None:
            raise PhaseViolation("no suite is registered under this agreement")
        registration = PreRegistration.parse(engagement.registration.payload)
        tasks = read_dev(data, engagement.digest, registration.suite)
        return [json.dumps({"task": task.i} | dict(task.fields), ensure_ascii=False) for task in tasks]

    from lab_server.inspecting import look  # noqa: PLC0415 - other commands start faster without the store

    for line in asyncio.run(look(Home(home), lambda engagements: checked(find(engagements, agreement)))):
        typer.echo(line)


@pack.command()
def new(
    file: Annotated[Path, typer.Argument(help="Where to write a template to fill in.")] = Path("pack.toml"),
) -> None:
    """Write a template of a pack, with comments."""
    if file.exists():
        raise FileUnusable(f"{file} exists", path=str(file))
    write_file(file, [TEMPLATE.encode()])
    typer.echo(f"{file}: edit it, then `safeconduct lab pack submit {file} --into pack.dsse.json`")


@pack.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The pack as TOML, see `lab pack new`.")],
    into: Annotated[Path, typer.Option(help="Where to write the signed pack for the auditor.")],
    late: Annotated[bool, typer.Option("--late", help="Submit it although TEST has begun; it counts as late.")] = False,
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Sign a pack, lock its digest in the log and write it for the auditor."""
    signer, values = Home(home).read_keys().agreement, _values(file)
    made: list[Envelope] = []

    def answer(engagement: Engagement, now: str) -> Document:
        if not late:
            engagement.ledger.elicitation.check_in_time()
        common = {"agreement": engagement.digest, "nonce": encode(secrets.token_bytes(32)), "madeAt": now}
        document = validated(ElicitationPack, to_camel_names(values) | common)
        made.append(sign_document(document, signer))
        value = {"agreement": engagement.digest, "status": "provided", "pack": made[-1].digest, "reason": None}
        return validated(PackAnswer, value | {"statedAt": now})

    state(home, agreement, answer)
    write_file(into, [made[-1].to_bytes()])
    typer.echo(f"{into}: give it to the auditor; only its digest stands in the log")


@pack.command()
def decline(
    reason: Annotated[str, typer.Option(help="Why; everybody who gets the log reads it.")],
    home: HomeOption = _HOME,
    agreement: AgreementOption = None,
) -> None:
    """Decline to give a pack. The attestation says so, and a later complaint of poor elicitation shows it."""

    def answer(engagement: Engagement, now: str) -> Document:
        value = {"agreement": engagement.digest, "status": "declined", "pack": None, "reason": reason}
        return validated(PackAnswer, value | {"statedAt": now})

    state(home, agreement, answer)


def _values(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_file(file, _MAX_PACK_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationInvalid(f"{file.name} is not TOML", field=file.name) from None
    values.setdefault("method", {})
    return values
