"""What a verification says: each check by itself, what follows, and what is not proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from attestations.errors import PRECEDENCE, ExitCode, SafeconductError
from attestations.predicate import AssuranceClaim, AuditPredicate, Result


class Status(StrEnum):
    """How one check ended."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    NOT_APPLICABLE = "notApplicable"
    NOT_AT_THIS_STAGE = "notAtThisStage"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One numbered check of `docs/spec/verification.md` and how it ended."""

    step: int
    name: str
    status: Status
    detail: str
    reason: str | None = None
    exit_code: ExitCode = ExitCode.OK
    facts: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the check as plain JSON types."""
        value: dict[str, Any] = {
            "step": self.step,
            "name": self.name,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.reason is not None:
            value |= {"reason": self.reason, "exitCode": int(self.exit_code), "facts": self.facts}
        return value


@dataclass
class Report:
    """Every check, in order, and what the verifier itself derived."""

    checks: list[Check] = field(default_factory=list)
    stage: str | None = None
    recipient: str | None = None
    assurance: AssuranceClaim | None = None
    predicate: AuditPredicate | None = None
    attestation: str | None = None  # the digest of the signed statement, once its signature holds
    lab_acknowledged: bool = False
    counted: dict[str, str] = field(default_factory=dict)
    exploratory: dict[str, int] = field(default_factory=dict)  # exchanges that belong to no task, by purpose
    limitations: tuple[str, ...] = ()
    redactions: dict[str, Any] = field(default_factory=dict)
    escrow: tuple[dict[str, Any], ...] = ()  # what holders released in the auditor's stead
    figures: tuple[Result, ...] = ()  # those that only an escrow release opens

    def passed(self, step: int, name: str, detail: str) -> None:
        """Note that a check holds."""
        self.checks.append(Check(step, name, Status.PASS, detail))

    def skipped(self, step: int, name: str, status: Status, detail: str) -> None:
        """Note that a check does not apply, or not yet, or that what it needs is missing."""
        code = ExitCode.INDETERMINATE if status is Status.MISSING else ExitCode.OK
        self.checks.append(Check(step, name, status, detail, exit_code=code))

    def failed(self, step: int, name: str, error: SafeconductError) -> None:
        """Note that a check does not hold."""
        self.checks.append(
            Check(step, name, Status.FAIL, error.message, error.reason, error.exit_code, dict(error.facts))
        )

    def ok(self, step: int) -> bool:
        """Tell whether every check of a step that was made holds, and one was."""
        made = [check for check in self.checks if check.step == step]
        return bool(made) and all(check.status not in (Status.FAIL, Status.MISSING) for check in made)

    @property
    def exit_code(self) -> ExitCode:
        """The failing code that comes first in the published precedence; 0 if none fails."""
        codes = {check.exit_code for check in self.checks if check.exit_code is not ExitCode.OK}
        return next((code for code in PRECEDENCE if code in codes), ExitCode.OK)

    @property
    def holds(self) -> bool:
        """Whether everything holds; what is claimed is shown only then."""
        return self.exit_code is ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        """Return the whole report as plain JSON types, checks in the order of their steps."""
        return {
            "v": "safeconduct-report/v1",
            "exitCode": int(self.exit_code),
            "stage": self.stage,
            "recipient": self.recipient,
            "attestation": self.attestation,
            "checks": [check.to_json() for check in sorted(self.checks, key=lambda check: check.step)],
            "derivedAssurance": _claim(self.assurance),
            "labAcknowledged": self.lab_acknowledged,
            "counts": self.counted,
            "exploratory": self.exploratory,
            "redactions": self.redactions,
            "claims": _claim(self.predicate) if self.holds else None,
            "escrow": list(self.escrow),
            "figures": [figure.model_dump(mode="json", by_alias=True) for figure in self.figures if self.holds],
            "limitations": list(self.limitations),
        }


def _claim(claim: AssuranceClaim | AuditPredicate | None) -> Any:
    return None if claim is None else claim.model_dump(mode="json", by_alias=True)
