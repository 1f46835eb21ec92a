"""`suite new|check|commit|schema`: the author's files, and the moment they stop changing."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attestations.errors import FileUnusable, SuiteInvalid
from attestations.files import unwritable
from auditor_client.commands.importing import import_
from auditor_client.commands.judging import calibrated
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.commands.suite_findings import show_findings
from auditor_client.committing import Rounds, committing, write_frozen, write_terms
from auditor_client.home import Home
from auditor_client.suites.drafting import analysis_plan, drafts
from auditor_client.suites.importers.report import finding_json
from auditor_client.suites.load import Suite, load_suite
from auditor_client.suites.manifest import Manifest
from auditor_client.suites.scaffold import FILES
from auditor_client.suites.suspicion.finding import COUNTED
from auditor_client.suites.tasks import Task

app = typer.Typer(help="Write, import, check and commit a hidden suite.", no_args_is_help=True)
app.command("import")(import_)
if TYPE_CHECKING:
    from auditor_client.suites.check import Checker

FolderOption = Annotated[Path | None, typer.Option("--suite", help="The suite's folder; HOME/suite if left out.")]


@app.command()
def new(home: HomeOption = DEFAULT_HOME, suite: FolderOption = None) -> None:
    """Make a small suite to begin with; every kind of task is in it."""
    folder = suite or Home(home).suite
    if folder.exists() and any(folder.iterdir()):
        raise FileUnusable(f"{folder} is not empty; give another folder", path=str(folder))
    try:
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from None
    typer.echo(f"{folder}: edit suite.yaml and tasks/*.jsonl, then `safeconduct auditor suite check`")


@app.command()
def check(
    home: HomeOption = DEFAULT_HOME,
    suite: FolderOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every finding as JSON.")] = False,
) -> None:
    """Read the suite and say what keeps it from being committed, and what makes it weak."""
    checked(suite or Home(home).suite, strict=strict, as_json=as_json)


@app.command()
def commit(
    home: HomeOption = DEFAULT_HOME,
    suite: FolderOption = None,
    draw: Annotated[int | None, typer.Option(min=1, help="Draw this many of the scored tasks with the lab.")] = None,
) -> None:
    """Freeze the suite and its analysis plan; nothing in either can change afterwards."""
    folder = Home(home)
    read, checker = checked(suite or folder.suite)
    # The public name tells nothing: the title could name the domain. A missing key is found before anything is written.
    key = folder.read_suite_key(f"suite-{secrets.token_hex(8)}")
    plan = read.manifest.plan
    bank = sum(checker.kinds[kind] for kind in COUNTED)
    if draw is not None and draw > bank:
        raise typer.BadParameter(f"the suite has {bank} scored tasks to draw from", param_hint="--draw")
    with committing(folder) as partial:
        written = write_frozen(partial, drafts(read), key=key)
        write_terms(
            folder,
            analysis_plan(read, nonce=secrets.token_bytes(32), drawn=draw, judges=calibrated(folder)),
            Rounds(epochs=plan.epochs, max_attempts=plan.max_attempts, draw=draw),
        )
    typer.echo(f"committed as {key.suite_id}: {written.tasks} tasks in public, {len(read.tasks)} of them real")
    if draw is not None:
        typer.echo(f"{draw} of {bank} scored tasks will be drawn with the lab; the others are never asked")
    typer.echo(f"root {written.root}")


@app.command()
def schema() -> None:
    """Print JSON schemas of suite.yaml and of a task line, for editors."""
    typer.echo(json.dumps({"manifest": Manifest.model_json_schema(), "task": Task.model_json_schema()}, indent=2))


def checked(folder: Path, *, strict: bool = False, as_json: bool = False) -> tuple[Suite, Checker]:
    """Read and check a suite, say what was found, and raise `SuiteInvalid` if something has to be mended."""
    from auditor_client.suites.check import Checker  # noqa: PLC0415 - loads NumPy, which other commands do without

    read = load_suite(folder)
    checker = Checker(read.manifest)
    for task in read.tasks:
        checker.take(task)
    findings = checker.findings()
    if as_json:
        told = {"suite": read.manifest.id, "tasks": len(read.tasks), "kinds": dict(sorted(checker.kinds.items()))}
        typer.echo(json.dumps({**told, "findings": [finding_json(finding) for finding in findings]}, indent=1))
    else:
        show_findings(findings)
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(checker.kinds.items()))
        typer.echo(f"{read.manifest.id} {read.manifest.version}: {len(read.tasks)} tasks ({counted})")
    refusing = [finding for finding in findings if finding.level == "error" or (strict and finding.level == "warning")]
    if refusing:
        what = "errors" if not strict else "errors and warnings"
        what = what if len(refusing) > 1 else refusing[0].level
        raise SuiteInvalid(f"the suite has {len(refusing)} {what} to mend", rule=refusing[0].rule)
    return read, checker
