"""`verify`, `report`, `open`, `provenance`, `adjudicate`: what a reader does with evidence, from files alone.

Heavy modules are imported by the command that needs them, so that the others start faster.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attestations.commands.options import moment, stage_name
from attestations.commands.watching import watched
from attestations.errors import FileUnusable
from attestations.files import open_file, read_file, shown, write_file

if TYPE_CHECKING:
    from attestations.verify.engine import Publication


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
    from attestations.escrow.released import parse_escrow_release
    from attestations.printing import print_report
    from attestations.trust import MAX_TRUST_BYTES, parse_trust
    from attestations.verify.assured import is_requirement
    from attestations.verify.engine import Request, verify_path

    for requirement in require or ():
        if not is_requirement(requirement):
            raise typer.BadParameter("a requirement is written as CO>=2, or `sandbagging`", param_hint="--require")
    request = Request(
        at=moment(at),
        stage=stage_name(stage),
        require=tuple(require or ()),
        publication=_publication(keyless, trust_config, identity, issuer),
        escrow=tuple(parse_escrow_release(read_file(path)) for path in escrow or ()),
    )
    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    with open_file(file) as stream, watched(file) as watch:
        report = verify_path(stream, trusted, request, watch=watch)
    with suppress(BrokenPipeError):  # who stops reading still gets the exit code
        if as_json:
            typer.echo(json.dumps(report.to_json(), indent=2))
        else:
            print_report(report, shown(file.name))
    raise typer.Exit(int(report.exit_code))


def report(
    file: Annotated[Path, typer.Argument(help="An evidence file.")],
    trust: Annotated[Path, typer.Option(help="Your trust file.")],
    into: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("report.html"),
    json_: Annotated[Path | None, typer.Option("--json", help="Also write it as JSON.")] = None,
    at: Annotated[str | None, typer.Option(help="Judge at this time, e.g. 2027-01-31T12:00:00Z.")] = None,
) -> None:
    """Verify an evidence file and write one readable page about it; its exit code is the verifier's."""
    from attestations.commands.reporting import write_report
    from attestations.trust import MAX_TRUST_BYTES, parse_trust

    trusted = parse_trust(read_file(trust, MAX_TRUST_BYTES))
    with watched(file) as watch:
        written = write_report(file, trusted, into, data=json_, at=moment(at), watch=watch)
    said = "the evidence holds" if written.view.good else "THE EVIDENCE DOES NOT HOLD; the page says so"
    typer.echo(f"{shown(into)}: {said}")
    raise typer.Exit(int(written.report.exit_code))


def open_(
    file: Annotated[Path, typer.Argument(help="An evidence file.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    into: Annotated[Path, typer.Option(help="A new folder for the opened content.")],
    escrow: Annotated[list[Path] | None, typer.Option(help="What escrow holders opened; repeatable.")] = None,
) -> None:
    """Write what a verified evidence file opens (plan, tasks, grades, transcripts) as readable JSON lines."""
    from attestations.escrow.released import parse_escrow_release
    from attestations.trust import MAX_TRUST_BYTES, parse_trust
    from attestations.verify.export import export_opened

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


def provenance(
    file: Annotated[Path, typer.Argument(help="An evidence file that opens what is searched.")],
    leak: Annotated[Path, typer.Argument(help="The leaked text, or openings that somebody shows.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    out: Annotated[Path | None, typer.Option(help="Write the openings that prove it to others.")] = None,
) -> None:
    """Say whether, and where, a leaked text was committed to before the run."""
    from attestations.trust import MAX_TRUST_BYTES, parse_trust
    from attestations.verify.provenance import find

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


def finding(
    report: Annotated[Path, typer.Argument(help="A flaw report that the auditor gave you.")],
    evidence: Annotated[Path, typer.Option(help="An evidence file whose log has notice of it.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust.")],
    csaf: Annotated[Path | None, typer.Option(help="Also write it as a CSAF 2.1 document.")] = None,
    namespace: Annotated[str | None, typer.Option(help="For --csaf: a URL of the auditor's, its publisher.")] = None,
) -> None:
    """Check a flaw report against the log of an evidence file, and read it."""
    from attestations.documents.finding import MAX_REPORT_BYTES
    from attestations.printing import print_finding
    from attestations.rendering.advisory import flaw_advisory
    from attestations.trust import MAX_TRUST_BYTES, parse_trust
    from attestations.verify.findings import find_report

    if csaf is not None and (namespace is None or not namespace.startswith("https://")):
        raise typer.BadParameter("CSAF names a publisher by a URL of its own.", param_hint="--namespace")
    trusted, data = parse_trust(read_file(trust, MAX_TRUST_BYTES)), read_file(report, MAX_REPORT_BYTES)
    with open_file(evidence) as stream:
        found = find_report(stream, trusted, data)
    print_finding(found)
    if csaf is not None and namespace is not None:
        value = flaw_advisory(found, namespace=namespace)
        write_file(csaf, [json.dumps(value, indent=2, ensure_ascii=False).encode(), b"\n"])
        typer.echo(f"{shown(csaf)}: CSAF 2.1, TLP:{value['document']['distribution']['tlp']['label']}; no evidence")


def adjudicate(
    case: Annotated[Path, typer.Argument(help="A case file, made by `lab dispute` or `auditor dispute`.")],
    trust: Annotated[Path, typer.Option(help="Whose keys you trust (made by `safeconduct trust`).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    at: Annotated[str | None, typer.Option(help="Judge as of this time, e.g. 2027-01-31T12:00:00Z.")] = None,
) -> None:
    """Say who, if anyone, is shown to have broken the protocol, offline and from signed bytes alone."""
    from attestations.adjudication.case import parse_case
    from attestations.adjudication.judging import adjudicate as judge
    from attestations.trust import MAX_TRUST_BYTES, parse_trust

    verdict = judge(parse_case(read_file(case)), parse_trust(read_file(trust, MAX_TRUST_BYTES)), moment(at))
    if as_json:
        typer.echo(json.dumps(verdict.to_json(), indent=2, ensure_ascii=False))
    else:
        for line in verdict.lines():
            typer.echo(line)
    raise typer.Exit(int(verdict.exit_code))


def _publication(
    bundle: Path | None, trust_config: Path | None, identity: str | None, issuer: str | None
) -> Publication | None:
    if bundle is None and trust_config is None and identity is None and issuer is None:
        return None
    if bundle is None or trust_config is None or not identity or not issuer:
        raise typer.BadParameter("goes with --trust-config, --identity and --issuer.", param_hint="--keyless")
    from attestations.keyless import (
        MAX_BUNDLE_BYTES,
        MAX_CONFIG_BYTES,
        Instance,
        Publisher,
    )
    from attestations.verify.engine import Publication

    instance = Instance(read_file(trust_config, MAX_CONFIG_BYTES))
    data, publisher = read_file(bundle, MAX_BUNDLE_BYTES), Publisher(identity, issuer)
    return Publication(identity, issuer, lambda: instance.verify(data, publisher))
