"""How findings about a suite are printed, whichever command found them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import typer

from auditor_client.suites.suspicion.finding import Finding

_LINES_A_RULE = 5


def show_findings(findings: Sequence[Finding]) -> None:
    """Print findings a line each; of a rule that found much, the first few and how many more there are."""
    said: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        said[finding.level, finding.rule] += 1
        if said[finding.level, finding.rule] <= _LINES_A_RULE:
            typer.echo(f"{finding.level}: {finding.message} [{finding.rule}]")
    for (level, rule), count in said.items():
        if count > _LINES_A_RULE:
            typer.echo(f"{level}: {count - _LINES_A_RULE} more like it, all of them with --json [{rule}]")
