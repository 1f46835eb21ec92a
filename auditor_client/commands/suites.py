"""`suite new|check|commit|schema`: the author's files, and the moment they stop changing."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from attestations.errors import FileUnusable, SuiteInvalid
from auditor_client.commands.judging import calibrated
from auditor_client.commands.options import DEFAULT_HOME, HomeOption
from auditor_client.committing import Rounds, freeze, scored, write_commitment
from auditor_client.home import Home
from auditor_client.suites.check import check_suite
from auditor_client.suites.drafting import analysis_plan, drafts
from auditor_client.suites.format import Manifest, Task
from auditor_client.suites.load import Suite, load_suite
from auditor_client.suites.scaffold import FILES

app = typer.Typer(help="Write, check and commit a hidden suite.", no_args_is_help=True)
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
        raise FileUnusable(f"{folder} cannot be written: {error.strerror}", path=str(folder)) from None
    typer.echo(f"{folder}: edit suite.yaml and tasks/*.jsonl, then `safeconduct auditor suite check`")


@app.command()
def check(home: HomeOption = DEFAULT_HOME, suite: FolderOption = None) -> None:
    """Read the suite and say what keeps it from being committed, and what makes it weak."""
    _checked(suite or Home(home).suite)


@app.command()
def commit(
    home: HomeOption = DEFAULT_HOME,
    suite: FolderOption = None,
    draw: Annotated[int | None, typer.Option(min=1, help="Draw this many of the scored tasks with the lab.")] = None,
) -> None:
    """Freeze the suite and its analysis plan; nothing in either can change afterwards."""
    folder = Home(home)
    read = _checked(suite or folder.suite)
    key = folder.read_suite_key("unnamed")  # a missing key is found before anything is written
    plan = read.manifest.plan
    # The public name tells nothing: the title could name the domain.
    frozen = freeze(drafts(read), suite_id=f"suite-{secrets.token_hex(8)}")
    bank = len(scored(frozen))
    if draw is not None and draw > bank:
        raise typer.BadParameter(f"the suite has {bank} scored tasks to draw from", param_hint="--draw")
    write_commitment(
        folder,
        frozen,
        analysis_plan(read, nonce=secrets.token_bytes(32), drawn=draw, judges=calibrated(folder)),
        Rounds(epochs=plan.epochs, max_attempts=plan.max_attempts, draw=draw),
    )
    root = frozen.root(type(key)(key.secret, frozen.suite_id))
    typer.echo(f"committed as {frozen.suite_id}: {len(frozen.tasks)} tasks in public, {len(read.tasks)} of them real")
    if draw is not None:
        typer.echo(f"{draw} of {bank} scored tasks will be drawn with the lab; the others are never asked")
    typer.echo(f"root {root}")


@app.command()
def schema() -> None:
    """Print JSON schemas of suite.yaml and of a task line, for editors."""
    typer.echo(json.dumps({"manifest": Manifest.model_json_schema(), "task": Task.model_json_schema()}, indent=2))


def _checked(folder: Path) -> Suite:
    read = load_suite(folder)
    findings = check_suite(read)
    for finding in findings:
        typer.echo(f"{finding.level}: {finding.message} [{finding.rule}]")
    kinds: dict[str, int] = {}
    for task in read.tasks:
        kinds[task.kind] = kinds.get(task.kind, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    typer.echo(f"{read.manifest.id} {read.manifest.version}: {len(read.tasks)} tasks ({counted})")
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise SuiteInvalid(f"the suite has {errors} error{'s' if errors > 1 else ''} to mend", rule=findings[0].rule)
    return read
