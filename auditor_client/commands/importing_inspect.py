"""`suite import inspect`: an Inspect task becomes a hidden suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from attestations.errors import ConfigurationInvalid


def import_inspect(task: str, into: Path, *, arguments: Sequence[str], nearest: bool) -> None:
    """Import the samples of an Inspect task whose scorer has an exact counterpart, and say why others are left out."""
    try:
        from auditor_client.integrations.inspect.importing import import_task  # noqa: PLC0415 - seconds, and an extra
    except ImportError:
        raise ConfigurationInvalid("Inspect is not installed: pip install 'safeconduct[auditor,inspect]'") from None
    imported = import_task(task, into, arguments=arguments, nearest=nearest)
    for why, count in Counter(item.why for item in imported.refused).items():
        numbers = ", ".join(str(item.number) for item in imported.refused if item.why == why)
        typer.echo(f"left out, {count} samples ({numbers[:200]}): {why}")
    for what in imported.notes:
        typer.echo(f"not carried over: {what}")
    typer.echo(f"{into}: {len(imported.tasks)} samples of {imported.name} kept; add controls, then `suite check`")
