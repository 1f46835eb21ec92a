"""The numbered steps of `docs/spec/verification.md`, and how one attempt at a step becomes a line of the report."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum
from typing import TypeVar

from attestations.errors import SafeconductError
from attestations.verify.report import Report, Status

T = TypeVar("T")


class Step(IntEnum):
    """The steps, in their published order."""

    TRUST = 0
    WHOLE = 1
    ATTESTATION = 2
    AGREEMENT = 3
    REGISTRATION = 4
    CHECKPOINT = 5
    CLOSE = 6
    EXCHANGES = 7
    IDENTITY = 8
    RUNTIME = 9
    OPENED = 10
    SCHEDULE = 11
    FIGURES = 12
    CONTROLS = 13
    REPORTS = 14
    DISCLOSURE = 15
    ASSURANCE = 16
    REQUIREMENTS = 17
    PUBLICATION = 18


STEP_NAMES: dict[int, str] = {
    Step.TRUST: "trust file",
    Step.WHOLE: "evidence file is whole",
    Step.ATTESTATION: "attestation signed by the auditor",
    Step.AGREEMENT: "agreement is signed by both sides",
    Step.REGISTRATION: "suite and grades fixed in time",
    Step.CHECKPOINT: "log checkpoint",
    Step.CLOSE: "close statement",
    Step.EXCHANGES: "every exchange is accounted for",
    Step.IDENTITY: "model identity as declared",
    Step.RUNTIME: "runtime statements",
    Step.OPENED: "opened content as committed",
    Step.SCHEDULE: "schedule: each task, nothing else",
    Step.FIGURES: "figures follow from the grades",
    Step.CONTROLS: "controls and answer rate",
    Step.REPORTS: "model identity reports",
    Step.DISCLOSURE: "disclosure follows the policy",
    Step.ASSURANCE: "assurance is not over-claimed",
    Step.REQUIREMENTS: "reader's requirements",
    Step.PUBLICATION: "published under an identity",
}


class Attempts:
    """Writes a report, one attempt at a step after the other."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def attempt(self, step: Step, action: Callable[[], T], detail: str = "") -> T | None:
        """Return what `action` gives, or note its error and return None; with a `detail`, success is noted too."""
        try:
            value = action()
        except SafeconductError as error:
            self.failed(step, error)
            return None
        if detail:
            self.passed(step, detail)
        return value

    def passed(self, step: Step, detail: str) -> None:
        """Note that a check holds."""
        self.report.passed(step, STEP_NAMES[step], detail)

    def failed(self, step: Step, error: SafeconductError) -> None:
        """Note that a check does not hold."""
        self.report.failed(step, STEP_NAMES[step], error)

    def skipped(self, step: Step, status: Status, detail: str) -> None:
        """Note that a check was not made, and why."""
        self.report.skipped(step, STEP_NAMES[step], status, detail)

    def missing(self, detail: str, *steps: Step) -> None:
        """Note of steps that their ground is not there."""
        for step in steps:
            self.skipped(step, Status.MISSING, detail)

    def unreached(self, detail: str, *, unasked: Collection[Step] = ()) -> None:
        """Note of every step without a line, but those nobody asked for, that it was not reached."""
        reached = {check.step for check in self.report.checks}
        self.missing(detail, *(step for step in Step if step not in reached and step not in unasked))
