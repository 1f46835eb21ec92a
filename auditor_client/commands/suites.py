"""`suite new|check|commit`: the author's files, and the moment they stop changing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import typer

from attestations.documents.base import encode
from auditor_client.app import analysis_plan
from auditor_client.committing import Draft, freeze, scored, write_commitment
from auditor_client.frozen_suite import FrozenSuite
from auditor_client.home import Home
from auditor_client.settings import load_settings

app = typer.Typer(help="Write, check and commit a hidden suite.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `suite` a group however many commands it has."""


def commit_drafts(home: Home, drafts: Sequence[Draft]) -> FrozenSuite:
    """Freeze a checked suite with the plan of the settings; its name tells nothing about it."""
    suite = freeze(drafts, suite_id=f"suite-{secrets.token_hex(8)}")
    plan = analysis_plan(
        load_settings(home.settings), nonce=encode(secrets.token_bytes(32)), scored=max(1, scored(suite))
    )
    write_commitment(home, suite, plan)
    return suite
