"""The auditor's commands are imported one by one; every one of them can be, and is listed under its own name."""

from __future__ import annotations

import subprocess
import sys

import typer.main

from auditor_client.cli import app


def test_every_command_is_there() -> None:
    group = typer.main.get_group(app)
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help


def test_one_command_pays_for_no_other() -> None:
    code = "import sys, auditor_client.cli; sys.exit('auditor_client.app' in sys.modules or 'structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
