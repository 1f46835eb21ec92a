"""`safeconduct policy`: lint, explain and simulate a disclosure policy, and begin from a template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attestations.commands.given import read_given
from attestations.documents.base import parse_moment
from attestations.errors import FileUnusable
from attestations.escrow.dealing import check_escrow
from attestations.files import write_file
from attestations.plain import plain
from attestations.policy.agreement_rules import lint_agreement
from attestations.policy.explain import explain as explained
from attestations.policy.finding import RULES, refuse
from attestations.policy.lint import lint_policy
from attestations.policy.simulate import parse_event, simulate as simulated
from attestations.rendering.simulation_view import event_rows, state_rows
from attestations.rendering.timeline import picture
from attestations.templates.catalogue import TEMPLATES, find

app = typer.Typer(no_args_is_help=True, help="Lint, explain and simulate a disclosure policy.")
_AGREEMENT_ONLY = {"L5": "the clauses", "L7": "the recipients' keys"}
FileArgument = Annotated[
    Path, typer.Argument(help="A policy, a file of terms, or a signed agreement, offer or terms.", metavar="FILE")
]


@app.command()
def lint(file: FileArgument) -> None:
    """Check a policy or a whole agreement against the rules L1 to L12; exit code 80 when one is broken."""
    given = read_given(file)
    findings = lint_policy(given.policy) if given.agreement is None else lint_agreement(given.agreement)
    table = Table.grid(padding=(0, 1))
    for name, words in RULES.items():
        reasons = [finding.reason for finding in findings if finding.rule == name]
        unseen = given.agreement is None and name in _AGREEMENT_ONLY and not reasons
        mark, style = ("✗", "bold red") if reasons else ("-", "dim") if unseen else ("✓", "green")
        said = f"{words} (needs {_AGREEMENT_ONLY[name]}: lint the agreement)" if unseen else words
        table.add_row(Text(mark, style=style), Text(name), Text(said))
        for reason in reasons:
            table.add_row("", "", Text(f"· {reason}", style="bold red"))
    _console().print(table)
    refuse(findings)
    if given.agreement is not None:
        check_escrow(given.agreement)


@app.command()
def explain(file: FileArgument) -> None:
    """Say in plain sentences who may and who must get what, when, who can delay it, and what silence does."""
    given = read_given(file)
    agreed = given.agreement
    said = explained(given.policy, None if agreed is None else agreed.escrow, agreed=agreed is not None)
    console = _console()
    for line in said.general:
        console.print(f"- {plain(line)}", markup=False)
    for rule in said.rules:
        console.print(f"\n{rule.id}", style="bold", markup=False)
        for sentence in rule.sentences:
            console.print(f"  {plain(sentence)}", markup=False)
    if said.emergency:
        console.print("\nemergency", style="bold")
        for line in said.emergency:
            console.print(f"  {line}", markup=False)


@app.command()
def simulate(
    file: FileArgument,
    event: Annotated[
        list[str] | None,
        typer.Option(help="E.g. RUN_CLOSED=2026-12-01T00:00:00Z or HOLD(5)=2026-12-02T00:00:00Z; repeatable."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="End at this time instead of after the last change.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture here as well.")] = None,
) -> None:
    """Show what may and must be released over time for events you assume."""
    try:
        events = [parse_event(text) for text in event or ()]
        end = None if until is None else parse_moment(until)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--event or --until") from None
    simulation = simulated(read_given(file).policy, events, end)
    table = Table(box=None, pad_edge=False)
    for title in ("what", "for whom", "state", "from"):
        table.add_column(title)
    for row in state_rows(simulation):
        table.add_row(*(Text(cell) for cell in row))
    _console().print(table)
    if html is not None:
        from attestations.rendering.pages import page  # noqa: PLC0415 - only a page needs the template engine

        rows, assumed = state_rows(simulation), event_rows(simulation)
        text = page("simulation.html", events=assumed, rows=rows, picture=picture(simulation))
        write_file(html, [text.encode()])
        typer.echo(f"{html}")


@app.command()
def templates() -> None:
    """List the templates."""
    for template in TEMPLATES:
        typer.echo(f"{template.name:<16}{template.title}\n{'':<16}{template.summary}")


@app.command()
def new(
    template: Annotated[str, typer.Option(help="One of `safeconduct policy templates`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the terms.")] = Path("terms.json"),
    escrow: Annotated[
        list[str] | None, typer.Option(help="The name of a party that holds keys in escrow; repeatable.")
    ] = None,
) -> None:
    """Write complete terms (policy, clauses with their wording, hints for the scope) to begin from."""
    terms = find(template).terms(tuple(escrow or ()))
    refuse(lint_policy(terms.policy))
    if out.exists():
        raise FileUnusable(f"{out} already exists; give a new file", path=str(out))
    write_file(out, [terms.to_bytes()])
    typer.echo(f"{out}: {terms.title}. Name it as `policy` of an auditor in lab.toml.")
    if not escrow:
        typer.echo("It names no escrow holders: if the auditor goes silent, nobody can release in its place.")


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
