"""What the root's commands read of a time and of a stage, and what they say if it is neither."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

STAGES = ("S1", "S2", "S3", "S4", "S5")


def instant(text: str | None) -> datetime | None:
    """Return the instant that `--at` names, or None if it is not given."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise typer.BadParameter("a time is written as 2027-01-31T12:00:00Z", param_hint="--at") from None


def stage_name(text: str | None) -> str | None:
    """Return the stage that `--stage` names, or None if it is not given."""
    if text is not None and text not in STAGES:
        raise typer.BadParameter("a stage is S1, S2, S3, S4 or S5", param_hint="--stage")
    return text
