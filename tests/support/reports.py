"""What a test says of a report: the one reason it must fail for, and with which exit code."""

from __future__ import annotations

from attestations.errors import ExitCode, SafeconductError, reason_of
from attestations.verify.report import Report, Status


def reasons(report: Report) -> list[str]:
    """Return the reasons of every failing check."""
    return [check.reason for check in report.checks if check.status is Status.FAIL and check.reason is not None]


def statuses(report: Report) -> dict[int, set[str]]:
    """Return the statuses of every step."""
    found: dict[int, set[str]] = {}
    for check in report.checks:
        found.setdefault(check.step, set()).add(check.status.value)
    return found


def assert_holds(report: Report) -> None:
    """Check that nothing fails and nothing is missing."""
    wrong = [(c.step, c.detail, c.facts) for c in report.checks if c.status in {Status.FAIL, Status.MISSING}]
    assert (wrong, report.exit_code) == ([], ExitCode.OK)


def assert_refused(report: Report, error: type[SafeconductError], code: int | None = None) -> None:
    """Check that a report fails for this reason, with its exit code (or another that comes first)."""
    expected = reason_of(error)
    assert expected in reasons(report), [(c.step, c.reason, c.detail) for c in report.checks if c.reason]
    assert (error.exit_code if code is None else code) == report.exit_code
