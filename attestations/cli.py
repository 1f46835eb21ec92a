"""The `safeconduct` command: what a reader of evidence needs, and the groups other installed parts add.

The two sides' groups are found through the entry-point group `safeconduct.commands`, so a reader never
needs their dependencies.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import typer.exceptions

from attestations.errors import (
    ConfigurationInvalid,
    ExitCode,
    FileUnusable,
    SafeconductError,
)
from attestations.files import FULL, is_full, open_file, read_file, shown, write_file

if TYPE_CHECKING:
    from attestations.verify.engine import Publication

GROUP = "safeconduct.commands"
_INTERRUPTED = "interrupted; run the same command again to continue"

app = typer.Typer(
    name="safeconduct",
    help="Third-party audits of AI models with evidence that anyone can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An evidence file, e.g. evidence-S2.zip.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust (made by `safeconduct trust`).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    at: Annotated[str | None, typer.Option(help="Judge obligations at this time, e.g. 2027-01-31T12:00:00Z.")] = None,
    stage: Annotated[str | None, typer.Option(help="Insist on a stage, S1 to S5.")] = None,
    require: Annotated[
        list[str] | None, typer.Option(help="Insist on a level, e.g. CO>=2, or on `sandbagging`; repeatable.")
    ] = None,
    keyless: Annotated[
        Path | None, typer.Option(help="Also check this identity-based signature (a Sigstore bundle) over the file.")
    ] = None,
    trust_config: Annotated[
        Path | None, typer.Option(help="For --keyless: the Sigstore instance you trust (ClientTrustConfig JSON).")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="For --keyless: whose it must be, e.g. press@auditor.example.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="For --keyless: the URL of who vouches for the identity.")] = None,
    escrow: Annotated[
        list[Path] | None, typer.Option(help="What escrow holders opened (`safeconduct escrow combine`); repeatable.")
    ] = None,
) -> None:
    """Check an evidence file offline, from the file and your trust file alone."""
    from attestations.escrow.released import parse_escrow_release  # noqa: PLC0415
    from attestations.printing import print_report  # noqa: PLC0415 - other commands start faster without it
    from attestations.trust import MAX_TRUST_BYTES, parse_trust  # noqa: PLC0415
    from attestations.verify.assured import is_requirement  # noqa: PLC0415
    from attestations.verify.engine import Request, verify_path  # noqa: PLC0415

    for requirement in require or ():
        if not is_requirement(requirement):
            raise typer.BadParameter("a requirement is written as CO>=2, or `sandbagging`", param_hint="--require")
    request = Request(
        at=_time(at),
        stage=_stage(stage),
        require=tuple(require or ()),
        publication=_publication(keyless, trust_config, identity, issuer),
        escrow=tuple(parse_escrow_release(read_file(path)) for path in escrow or ()),
    )
    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    with open_file(file) as stream:
        report = verify_path(stream, trusted, request)
    with suppress(BrokenPipeError):  # who stops reading still gets the exit code
        if as_json:
            typer.echo(json.dumps(report.to_json(), indent=2))
        else:
            print_report(report, shown(file.name))
    raise typer.Exit(int(report.exit_code))


@app.command()
def consent(
    amendment: Annotated[Path, typer.Argument(help="An amendment as lab or auditor wrote it with `amend --unsigned`.")],
    identity: Annotated[Path, typer.Option(help="Your folder with identity.json and keys/.")],
    agreement: Annotated[Path | None, typer.Option(help="The agreement it supersedes, to see what changes.")] = None,
    out: Annotated[Path | None, typer.Option(help="Sign it and write it here; without, it is only shown.")] = None,
) -> None:
    """Read an amendment that touches a rule protecting you, and sign it if you agree."""
    from attestations.commands.consenting import consent as read_and_sign  # noqa: PLC0415

    read_and_sign(amendment, identity, agreement, out)


@app.command()
def trust(
    identities: Annotated[list[Path], typer.Argument(help="identity.json files, obtained out of band.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the trust file.")] = Path("trust.json"),
) -> None:
    """Write a trust file from the identity files of the parties you trust."""
    from attestations.identity import MAX_IDENTITY_BYTES, parse_identity  # noqa: PLC0415
    from attestations.trust import Trust, TrustedParty  # noqa: PLC0415

    parties = []
    for path in identities:
        identity = parse_identity(read_file(path, MAX_IDENTITY_BYTES))
        parties.append(TrustedParty(role=identity.role, id=identity.id, keys=identity.keys))
    text = json.dumps(Trust(parties=tuple(parties)).json_value(), indent=2) + "\n"
    write_file(out, [text.encode()])
    names = ", ".join(f"{party.role} {party.id}" for party in parties)
    typer.echo(f"{shown(out)}: trusts {names}. Compare their key fingerprints with the parties over another channel.")


@app.command("open")
def open_(
    file: Annotated[Path, typer.Argument(help="An evidence file.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    into: Annotated[Path, typer.Option(help="A new folder for the opened content.")],
    escrow: Annotated[list[Path] | None, typer.Option(help="What escrow holders opened; repeatable.")] = None,
) -> None:
    """Write what a verified evidence file opens (plan, tasks, grades, transcripts) as readable JSON lines."""
    from attestations.escrow.released import parse_escrow_release  # noqa: PLC0415
    from attestations.trust import MAX_TRUST_BYTES, parse_trust  # noqa: PLC0415
    from attestations.verify.export import export_opened  # noqa: PLC0415

    if into.exists():
        raise FileUnusable(f"{shown(into)} already exists; give a new folder", path=shown(into))
    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    with open_file(file) as stream:
        written = export_opened(stream, trusted, [parse_escrow_release(read_file(path)) for path in escrow or ()])
        into.mkdir(parents=True)
        try:
            for name, lines in written.items():
                write_file(into / name, lines)
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)  # ours, and half a transcript is not one
            raise
    for name in written:
        typer.echo(shown(into / name))


@app.command()
def provenance(
    file: Annotated[Path, typer.Argument(help="An evidence file that opens what is searched.")],
    leak: Annotated[Path, typer.Argument(help="The leaked text, or openings that somebody shows.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    out: Annotated[Path | None, typer.Option(help="Write the openings that prove it to others.")] = None,
) -> None:
    """Say whether, and where, a leaked text was committed to before the run."""
    from attestations.trust import MAX_TRUST_BYTES, parse_trust  # noqa: PLC0415
    from attestations.verify.provenance import find  # noqa: PLC0415

    trusted, text = parse_trust(read_file(trust, MAX_TRUST_BYTES)), read_file(leak)
    with open_file(file) as stream:
        found = find(stream, trusted, text)
    for item in found:
        where = f"{'transcript' if item.opening.cls == 'C7' else 'task'} {item.opening.i}, field {item.opening.path}"
        typer.echo(f"{'is' if item.whole else 'shares text with'} {where} ({item.opening.cls})")
        typer.echo(f"  commitment {item.commitment}, registered at {item.registered_at}")
    if out is not None:
        write_file(out, (item.opening.to_line() + b"\n" for item in found))
        typer.echo(
            f"{shown(out)}: with these anybody can compute the commitments again; they show the fields themselves"
        )


@app.command()
def adjudicate(
    case: Annotated[Path, typer.Argument(help="A case file, made by `lab dispute` or `auditor dispute`.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust (made by `safeconduct trust`).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    at: Annotated[str | None, typer.Option(help="Judge as of this time, e.g. 2027-01-31T12:00:00Z.")] = None,
) -> None:
    """Say who, if anyone, is shown to have broken the protocol, offline and from signed bytes alone."""
    from attestations.adjudication.case import parse_case  # noqa: PLC0415
    from attestations.adjudication.judging import adjudicate as judge  # noqa: PLC0415
    from attestations.trust import MAX_TRUST_BYTES, parse_trust  # noqa: PLC0415

    verdict = judge(parse_case(read_file(case)), parse_trust(read_file(trust, MAX_TRUST_BYTES)), _time(at))
    if as_json:
        typer.echo(json.dumps(verdict.to_json(), indent=2, ensure_ascii=False))
    else:
        for line in verdict.lines():
            typer.echo(line)
    raise typer.Exit(int(verdict.exit_code))


@app.command()
def render(
    file: Annotated[Path, typer.Argument(help="A signed agreement, or an evidence file for its release log.")],
    html: Annotated[Path, typer.Option(help="Where to write the page.")],
    trust: Annotated[Path | None, typer.Option(help="Whose keys you trust; needed for a release log.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge obligations at this time, e.g. 2027-01-31T12:00:00Z.")] = None,
) -> None:
    """Write an agreement, or a release log, as a page a person can read, print and file."""
    from attestations.commands.rendering import render_file  # noqa: PLC0415 - other commands start faster without it

    typer.echo(render_file(file, trust, html, _time(at)))


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="An evidence file.")],
    trust: Annotated[Path, typer.Option(help="Your trust file.")],
    into: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("report.html"),
    json_: Annotated[Path | None, typer.Option("--json", help="Also write it as JSON.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge at this time, e.g. 2027-01-31T12:00:00Z.")] = None,
) -> None:
    """Verify an evidence file and write one readable page about it; its exit code is the verifier's."""
    from attestations.commands.reporting import write_report  # noqa: PLC0415 - other commands start faster without it
    from attestations.trust import MAX_TRUST_BYTES, parse_trust  # noqa: PLC0415

    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    written = write_report(file, trusted, into, data=json_, at=_time(at))
    said = "the evidence holds" if written.view.good else "THE EVIDENCE DOES NOT HOLD; the page says so"
    typer.echo(f"{into}: {said}")
    raise typer.Exit(int(written.report.exit_code))


@app.command("version")
def version_() -> None:
    """Print the version."""
    typer.echo(version("safeconduct"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every failure is one sentence and a documented exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it was closed
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a sign still gets the sentence
    code = _run(given)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # Python would try again at its end, and fail loudly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        code = code or _say(_os_error(error), ExitCode.SETUP)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(given: list[str]) -> int:
    try:
        if given and given[0] in _OWN_GROUPS:
            app.add_typer(_own_group(given[0]), name=given[0])
        else:
            for name, summary in _OWN_GROUPS.items():
                app.add_typer(_listed_only(), name=name, help=summary)
        for entry in entry_points(group=GROUP):
            wanted = bool(given) and given[0] == entry.name
            app.add_typer(_load(entry) if wanted else _listed_only(), name=entry.name, help=_SUMMARIES.get(entry.name))
        result = app(args=given, prog_name="safeconduct", standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a command: its help is the answer
            typer.echo(message, err=True)
            return int(ExitCode.USAGE)
        return _say(f"{message} Add --help for the options.", ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _say(_INTERRUPTED, ExitCode.INTERRUPTED)
    except SafeconductError as error:
        return _say(f"{error.message} [{error.reason}]", error.exit_code)
    except BrokenPipeError:
        return int(ExitCode.OK)
    except OSError as error:
        return _say(_os_error(error), ExitCode.SETUP)
    except Exception as error:
        if os.environ.get("SAFECONDUCT_TRACEBACK"):
            raise
        # The message could hold content; its type cannot.
        return _say(
            f"internal error ({type(error).__name__}); set SAFECONDUCT_TRACEBACK=1 to see where", ExitCode.INTERNAL
        )
    return _ended(result)


def _ended(result: object) -> int:
    if result == ExitCode.INTERRUPTED:  # Typer makes an exit code of a Ctrl-C, and says nothing
        return _say(_INTERRUPTED, ExitCode.INTERRUPTED)
    return result if isinstance(result, int) else 0


# Groups that need neither side's software, in attestations/commands; imported when used.
_OWN_GROUPS = {
    "policy": "Lint, explain and simulate a disclosure policy, and begin from one.",
    "regulator": "Order, hold, countersign and confirm, as signed files.",
    "escrow": "Hold shares of class keys, and open what an auditor owes.",
    "identity": "Keys and identity files for parties that run no service.",
}
_SUMMARIES = {
    "lab": "Serve a model to auditors.",
    "auditor": "Audit a model with a hidden suite.",
    "demo": "Run a whole audit of a real language model on this machine.",
}


def _own_group(name: str) -> typer.Typer:
    loaded = import_module(f"attestations.commands.{name}").app
    assert isinstance(loaded, typer.Typer)  # noqa: S101 - our own module
    return loaded


def _load(entry: EntryPoint) -> typer.Typer:
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        raise ConfigurationInvalid(
            f"`safeconduct {entry.name}` needs {error.name}: pip install 'safeconduct[{entry.name}]'"
        ) from None
    if not isinstance(loaded, typer.Typer):
        raise ConfigurationInvalid(f"the installed command group {entry.name} is not one of ours")
    return loaded


def _listed_only() -> typer.Typer:
    """Stand in the list of commands for a group that is not being used, without importing it."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(lambda: None)
    return group


def _say(message: str, code: ExitCode) -> int:
    typer.echo(f"safeconduct: {message}", err=True)
    return int(code)


def _os_error(error: OSError) -> str:
    if is_full(error):
        return FULL
    named = f": {shown(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    return f"{error.strerror or type(error).__name__}{named}"


def _publication(
    bundle: Path | None, trust_config: Path | None, identity: str | None, issuer: str | None
) -> Publication | None:
    if bundle is None and trust_config is None and identity is None and issuer is None:
        return None
    if bundle is None or trust_config is None or not identity or not issuer:
        raise typer.BadParameter("goes with --trust-config, --identity and --issuer.", param_hint="--keyless")
    from attestations.keyless import (  # noqa: PLC0415 - asked for by few, and slow
        MAX_BUNDLE_BYTES,
        MAX_CONFIG_BYTES,
        Instance,
        Publisher,
    )
    from attestations.verify.engine import Publication  # noqa: PLC0415

    instance = Instance(read_file(trust_config, MAX_CONFIG_BYTES))
    data, publisher = read_file(bundle, MAX_BUNDLE_BYTES), Publisher(identity, issuer)
    return Publication(identity, issuer, lambda: instance.verify(data, publisher))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("a time is written as 2027-01-31T12:00:00Z", param_hint="--at") from None


def _stage(text: str | None) -> str | None:
    if text is not None and text not in ("S1", "S2", "S3", "S4", "S5"):
        raise typer.BadParameter("a stage is S1, S2, S3, S4 or S5", param_hint="--stage")
    return text


if __name__ == "__main__":
    main()
