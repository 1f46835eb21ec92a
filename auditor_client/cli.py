"""The auditor's command line: the protocol's verbs, in the order an audit takes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import typer

from attestations.commands.lazily import LazyGroup

_COMMANDS = "auditor_client.commands"
# Which file of auditor_client/commands holds which commands; a name alone is that of its function.
_ORDER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("setup", ("init",)),
    ("suites", ("suite=app",)),
    ("finetuning", ("finetune=app",)),
    ("negotiating", ("propose", "review", "counter", "accept", "reject", "withdraw", "conclude", "amend", "terminate")),
    ("eliciting", ("dev", "pack")),
    ("running", ("run",)),
    ("scaffolding", ("scaffold=app",)),
    ("harness", ("lm-eval=lm_eval",)),
    ("probing", ("probe=app",)),
    ("running", ("close", "grade")),
    ("judging", ("judge=app",)),
    ("disclosing", ("seal",)),
    ("escrow", ("escrow-receipts=receipts", "escrow-reshare=reshare")),
    ("disclosing", ("release",)),
    ("reporting", ("report",)),
    ("publishing", ("publish",)),
    ("exporting", ("export=app",)),
    ("disputing", ("dispute",)),
    ("disclosing", ("status",)),
    ("finding", ("finding",)),
    ("stating", ("consent", "remediated", "published", "correct", "deviate", "abort", "emergency", "submit")),
)


class _Verbs(LazyGroup):
    places: ClassVar[Mapping[str, str]] = {
        name: f"{_COMMANDS}.{file}:{function or name}"
        for file, entries in _ORDER
        for name, _, function in (entry.partition("=") for entry in entries)
    }


app = typer.Typer(
    name="auditor",
    cls=_Verbs,
    help="Audit a model with a hidden suite.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run under the root command, which says every failure in one sentence."""
    from attestations.cli import main as root  # noqa: PLC0415 - only when run as a module

    root(["auditor", *sys.argv[1:]])
