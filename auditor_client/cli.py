"""The auditor's command line: the protocol's verbs, in the order an audit takes them."""

from __future__ import annotations

import sys

import typer

from auditor_client.commands import (
    disclosing,
    disputing,
    eliciting,
    escrow,
    exporting,
    finetuning,
    harness,
    importing,
    judging,
    negotiating,
    publishing,
    reporting,
    running,
    scaffolding,
    setup,
    stating,
    suites,
)

app = typer.Typer(
    name="auditor",
    help="Audit a model with a hidden suite.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(setup.init)
suites.app.command("import")(importing.import_)
app.add_typer(suites.app, name="suite")
app.add_typer(finetuning.app, name="finetune")
for _command in (
    negotiating.propose,
    negotiating.review,
    negotiating.counter,
    negotiating.accept,
    negotiating.reject,
    negotiating.withdraw,
    negotiating.conclude,
    negotiating.amend,
    negotiating.terminate,
):
    app.command(_command.__name__)(_command)
app.add_typer(eliciting.dev, name="dev")
app.add_typer(eliciting.pack, name="pack")
app.command("run")(running.run)
app.add_typer(scaffolding.app, name="scaffold")
app.command("lm-eval")(harness.lm_eval)
app.command("grade")(running.grade)
app.add_typer(judging.app, name="judge")
app.command("close")(running.close)
app.command("seal")(disclosing.seal)
app.command("escrow-receipts")(escrow.receipts)
app.command("escrow-reshare")(escrow.reshare)
app.command("release")(disclosing.release)
app.command("report")(reporting.report)
app.command("publish")(publishing.publish)
app.add_typer(exporting.app, name="export")
app.command("dispute")(disputing.dispute)
app.command("status")(disclosing.status)
for _stating in stating.COMMANDS:
    app.command(_stating.__name__)(_stating)


def main() -> None:
    """Run under the root command, which says every failure in one sentence."""
    from attestations.cli import main as root  # noqa: PLC0415 - only when run as a module

    root(["auditor", *sys.argv[1:]])
