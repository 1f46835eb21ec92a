"""What commands read of a time and of a stage a person names, and what they say if it is neither."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from attestations.documents.base import parse_moment

STAGES = ("S1", "S2", "S3", "S4", "S5")


def moment(text: str | None, option: str = "--at") -> datetime | None:
    """Return the instant an option names, or None if it is not given."""
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError:
        raise typer.BadParameter("a time is written as 2027-01-31T12:00:00Z", param_hint=option) from None


def moment_or_now(text: str | None) -> datetime:
    """Return the instant that `--at` names, or now in whole seconds."""
    return moment(text) or datetime.now(UTC).replace(microsecond=0)


def stage_name(text: str | None) -> str | None:
    """Return the stage that `--stage` names, or None if it is not given."""
    if text is not None and text not in STAGES:
        raise typer.BadParameter("a stage is S1, S2, S3, S4 or S5", param_hint="--stage")
    return text
