"""`suite new|check|commit`: the author's files, and the moment they stop changing."""

from __future__ import annotations

import typer

app = typer.Typer(help="Write, check and commit a hidden suite.", no_args_is_help=True)
