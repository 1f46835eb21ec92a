"""`suite import`: from a public format to a suite's folder, with an account of every item."""

from __future__ import annotations

import uuid
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from attestations.files import read_file, shown
from auditor_client.commands.importing_inspect import import_inspect
from auditor_client.commands.suite_findings import show_findings
from auditor_client.suites.importers.mapping import MAX_CHARACTERS, Mapping, mapping_text, parse_mapping
from auditor_client.suites.importers.options import name_of

if TYPE_CHECKING:
    from auditor_client.suites.importers.report import Report

FormatName = Literal["mmlu", "bbq", "bigbench", "anthropic-evals", "truthfulqa", "gsm8k", "jsonl", "inspect"]
Scoring = Literal["sum", "normalised", "letter"]
Encoding = Literal["utf-8", "utf-16", "cp1252", "latin-1", "mac-roman"]


_OF_INSPECT = frozenset({"format_", "source", "into", "nearest", "task_arguments"})


def import_(
    ctx: typer.Context,
    format_: Annotated[FormatName, typer.Argument(metavar="FORMAT", help="What the source is written in.")],
    source: Annotated[
        Path, typer.Argument(help="A file, or a folder of them; inspect: FILE.py, FILE.py@NAME, or a registered name.")
    ],
    into: Annotated[Path, typer.Option("--into", help="The suite's folder; new or empty.")],
    name: Annotated[str | None, typer.Option("--name", help="The suite's id; else the source's name.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="The source's licence, e.g. CC-BY-4.0.")] = None,
    seed: Annotated[str, typer.Option("--seed", help="Decides the split and the order of shuffled options.")] = "0",
    dev_share: Annotated[
        float, typer.Option("--dev-share", min=0, max=1, help="Which share of each category is for development.")
    ] = 0.15,
    scoring: Annotated[
        Scoring | None, typer.Option("--scoring", help="How a choice is found; else as the format usually does.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="bigbench: multiple_choice_grade or exact_str_match; truthfulqa: mc1 or mc0."),
    ] = None,
    mapping: Annotated[str | None, typer.Option("--map", help="jsonl: field=place,...; see the guide.")] = None,
    mapping_file: Annotated[Path | None, typer.Option("--map-file", help="jsonl: a file of such lines.")] = None,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="How the source's text is written.")] = "utf-8",
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Put the options of choices in a random order.")] = False,
    controls: Annotated[bool, typer.Option(help="Add plain controls and a canary item.")] = True,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="inspect: take choice() and exact() under the graders nearest to them.")
    ] = False,
    task_arguments: Annotated[
        list[str] | None, typer.Option("-T", metavar="NAME=VALUE", help="inspect: an argument of the task; repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing if anything is wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make a suite of a public one: its items, split for development and test, with canaries and a report."""
    if format_ == "inspect":
        _require_only(ctx, _OF_INSPECT)
        import_inspect(str(source), into, arguments=task_arguments or (), nearest=nearest)
        return
    if nearest or task_arguments:
        hint = "--nearest" if nearest else "-T"
        raise typer.BadParameter("no other format takes it than inspect", param_hint=hint)
    # NumPy is loaded here, which other commands do without.
    from auditor_client.suites.importers.catalogue import FORMATS  # noqa: PLC0415
    from auditor_client.suites.importers.importing import REPORT, Order, import_suite  # noqa: PLC0415
    from auditor_client.suites.importers.options import Options  # noqa: PLC0415

    chosen = FORMATS[format_]
    if metric is not None and metric not in chosen.metrics:
        known = " or ".join(chosen.metrics) or "no metric"
        raise typer.BadParameter(f"{format_} knows {known}", param_hint="--metric")
    if (mapping is not None or mapping_file is not None) != (format_ == "jsonl"):
        raise typer.BadParameter("jsonl needs --map or --map-file, and no other format takes one", param_hint="--map")
    report = import_suite(
        Order(
            format=chosen,
            source=source,
            into=into,
            name=name or name_of(f"{format_}-{source.stem}".casefold()),
            options=Options(scoring=scoring, metric=metric, mapping=_mapping(mapping, mapping_file)),
            licence=licence,
            seed=seed,
            dev_share=Fraction(str(dev_share)),
            encoding=encoding,
            shuffle=shuffle,
            controls=controls,
            strict=strict,
        ),
        guid=lambda: str(uuid.uuid4()),
    )
    if as_json:
        typer.echo(report.to_bytes().decode(), nl=False)
        return
    _show(report)
    typer.echo(
        f"{shown(into)}: edit suite.yaml, then `safeconduct auditor suite check --suite {shown(into)}`; "
        f"{REPORT} names every item that was left out or is suspicious"
    )


def _require_only(ctx: typer.Context, names: frozenset[str]) -> None:
    """Refuse options that an Inspect task has no use for: its samples become the suite as they are."""
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "")
        if parameter.name not in names and given is not None and given.name == "COMMANDLINE":
            raise typer.BadParameter("inspect takes --into, --nearest and -T", param_hint=max(parameter.opts, key=len))


def _mapping(given: str | None, file: Path | None) -> Mapping | None:
    if file is not None:
        text = read_file(file, 2 * MAX_CHARACTERS).decode(errors="replace")
        return parse_mapping(mapping_text(text) + (f",{given}" if given else ""))
    return None if given is None else parse_mapping(given)


def _show(report: Report) -> None:
    console = Console(soft_wrap=True, highlight=False)
    licence = {"given": "as given", "file": "by a file beside it", "published": "as published", "none": "say --licence"}
    console.print(Text(f"{report.upstream}: licence {report.licence} ({licence[report.licence_from]})"))
    if report.caution:
        console.print(Text(report.caution))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
    read = report.kept + len(report.left_out)
    console.print(Text(f"{read} items read, {report.kept} kept, {len(report.left_out)} left out; tasks: {kinds}"))
    if report.left_out:
        table = Table("left out", "items", "first places", "because", box=None, pad_edge=False)
        for rule, count, first, meaning in report.lost():
            table.add_row(Text(rule), str(count), Text(first), Text(meaning))
        console.print(table)
    show_findings(report.findings)
