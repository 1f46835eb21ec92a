"""The order of the checks: `docs/spec/verification.md` as code, one line a step.

Every step that can be made is made; a step whose ground another step has taken away says so and does not
guess. The report's exit code is the failing one that comes first in the published precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, TypeVar

from attestations.assurance import derive
from attestations.container import Container
from attestations.errors import EvidenceMissing, ExitCode, SafeconductError
from attestations.results import compute_canary, compute_controls, compute_results
from attestations.predicate import AuditPredicate, Validity
from attestations.trust import Trust
from attestations.verify import claims, disclosure, opened, parties, transcript
from attestations.verify.limitations import limitations
from attestations.verify.report import Report, Status

T = TypeVar("T")

STEP_NAMES = {
    0: "trust file",
    1: "evidence file is whole",
    2: "attestation is signed by the auditor",
    3: "agreement is signed by both sides",
    4: "suite and grades were fixed in time",
    5: "log checkpoint",
    6: "close statement",
    7: "every exchange is accounted for",
    8: "model identity as declared",
    9: "runtime statements",
    10: "opened content matches its commitments",
    11: "schedule: every task, nothing else",
    12: "figures follow from the grades",
    13: "controls and answer rate",
    14: "model identity reports",
    15: "disclosure follows the policy",
    16: "assurance is not over-claimed",
    17: "reader's requirements",
}


@dataclass(frozen=True)
class Request:
    """What a reader asks for besides the file: a time to judge at, a stage to insist on, levels to require."""

    at: datetime | None = None
    stage: str | None = None
    require: tuple[str, ...] = ()


class _Stop(Exception):
    """The ground for every later step is gone."""


def verify_evidence(container: Container, trust: Trust, request: Request) -> Report:
    """Run every check on an evidence file and return the report; never raises for what the file holds."""
    verification = _Verification(container, trust, request)
    try:
        verification.run()
    except _Stop:
        verification.note_unreached()
    return verification.report


class _Verification:
    def __init__(self, container: Container, trust: Trust, request: Request) -> None:
        self._container = container
        self._trust = trust
        self._request = request
        self.report = Report()
        self.report.passed(0, STEP_NAMES[0], f"{len(trust.parties)} trusted parties")

    def run(self) -> None:
        report, container = self.report, self._container
        if not self._attempt(1, lambda: container.size("agreement.dsse.json"), "")[1]:
            raise _Stop
        agreed, ok = self._attempt(3, lambda: parties.open_agreement(container, self._trust), "")
        if not ok or agreed is None:
            self._members_alone()
            raise _Stop
        _, ok = self._attempt(
            3,
            lambda: parties.check_agreement(agreed, self._trust),
            f"{agreed.agreement.party('lab').id} and {agreed.agreement.party('auditor').id} signed the same bytes",
        )
        index, ok = self._attempt(1, lambda: parties.open_index(container, agreed), "")
        if not ok or index is None:
            raise _Stop
        report.stage, report.recipient = index.document.stage, index.document.recipient
        self._attempt(
            1,
            lambda: parties.check_members(container, index.document),
            f"{len(index.document.members)} members, each bound by the auditor's signed index",
        )
        predicate, _ = self._attempt(
            2,
            lambda: claims.open_attestation(self._read("attestation.sigstore.json"), agreed, index),
            "signed with the publication key the agreement names",
        )
        report.predicate = predicate
        log, ok = self._attempt(7, lambda: transcript.read_log(container.lines("log.jsonl"), agreed), "")
        if not ok or log is None or log.exchanges is None:
            raise _Stop
        report.counted = claims.exchange_counts(log.exchanges)
        self._log_steps(agreed, log)
        content = self._open_content(agreed, log, index.document.stage)
        self._result_steps(agreed, log, index, predicate, content)
        self._disclosure_step(agreed, log, index, content)
        self._assurance_steps(agreed, log, predicate)
        self._acknowledgement(agreed, index)
        report.limitations = limitations(agreed.agreement, log, predicate, content)

    def note_unreached(self) -> None:
        """Say of every step that was not reached that it was not."""
        reached = {check.step for check in self.report.checks}
        for step, name in STEP_NAMES.items():
            if step not in reached:
                self.report.skipped(step, name, Status.MISSING, "not checked: an earlier check failed")

    def _log_steps(self, agreed: parties.Parties, log: transcript.Transcript) -> None:
        errors, report = log.errors, self.report
        details = {
            4: "the suite stands in the log before the first Promise",
            6: "both sides signed the same counts, meter and root",
            7: f"{report.counted['promised']} Promises, each with one Record; sequences dense; meter unbroken",
            9: f"{len(log.runtimes)} statements at {agreed.agreement.runtime.level}",
        }
        broken = min(errors) if errors else None
        missing = {
            4: log.registration is None,
            6: log.close is None,
            7: False,
            9: not log.runtimes and int(report.counted["promised"]) > 0,
        }
        for step, detail in details.items():
            if step in errors:
                report.failed(step, STEP_NAMES[step], errors[step])
            elif missing[step] and broken is not None:
                report.skipped(step, STEP_NAMES[step], Status.MISSING, "the log could not be followed that far")
            elif missing[step]:
                report.failed(step, STEP_NAMES[step], EvidenceMissing("not in the log", step=str(step)))
            elif broken is not None and step == 7:  # noqa: PLR2004 - the exchanges
                report.skipped(step, STEP_NAMES[step], Status.MISSING, "the log could not be followed to its end")
            else:
                report.passed(step, STEP_NAMES[step], detail)
        if 7 in errors and errors[7].exit_code is ExitCode.MODEL_IDENTITY_INCONSISTENT:
            report.failed(8, STEP_NAMES[8], errors[7])
        elif errors:
            report.skipped(8, STEP_NAMES[8], Status.MISSING, "the log could not be followed to its end")
        else:
            report.passed(8, STEP_NAMES[8], "every Promise and Record names the agreed weights: the lab's word at RA0")
        if 15 in errors:
            report.failed(15, STEP_NAMES[15], errors[15])
        self._attempt(
            5,
            lambda: transcript.check_checkpoint(
                self._read("checkpoint.txt"), agreed, log, self._trust
            ),
            f"{log.size} leaves, signed by the lab and cosigned by the auditor",
        )
        report.skipped(14, STEP_NAMES[14], Status.NOT_APPLICABLE, "no identity report is part of this evidence")

    def _open_content(
        self, agreed: parties.Parties, log: transcript.Transcript, stage: str
    ) -> opened.Content | None:
        if log.registration is None or log.manifest is None:
            self.report.skipped(10, STEP_NAMES[10], Status.MISSING, "no registration or package manifest in the log")
            return None
        content, ok = self._attempt(10, lambda: opened.open_content(self._container, agreed, log), "")
        if not ok or content is None:
            return None
        names = ", ".join(content.classes) or "none yet"
        self.report.passed(
            10, STEP_NAMES[10], f"sealed packages match the signed manifest; opened at {stage}: {names}"
        )
        if "C5" in content.classes:
            self._attempt(
                11,
                lambda: opened.check_schedule(content, log),
                f"{len(content.kinds)} tasks, every exchange belongs to one of them",
            )
        else:
            self.report.skipped(11, STEP_NAMES[11], Status.NOT_AT_THIS_STAGE, "tasks are sealed until S4")
        return content

    def _result_steps(
        self,
        agreed: parties.Parties,
        log: transcript.Transcript,
        index: parties.Index,
        predicate: AuditPredicate | None,
        content: opened.Content | None,
    ) -> None:
        report = self.report
        if predicate is None:
            for step in (12, 13):
                report.skipped(step, STEP_NAMES[step], Status.MISSING, "the attestation could not be read")
            return
        self._attempt(
            2,
            lambda: claims.check_predicate(predicate, agreed, log, index),
            "every fact it repeats equals the evidence",
        )
        plan = content.plan if content is not None else None
        if plan is None:
            for step in (12, 13):
                report.skipped(step, STEP_NAMES[step], Status.NOT_AT_THIS_STAGE, "figures are sealed until S2")
            if predicate.results:
                report.failed(
                    12, STEP_NAMES[12], EvidenceMissing("figures are claimed but their plan is not opened")
                )
            return
        assert content is not None  # noqa: S101 - a plan comes from opened content only
        self._attempt(
            12,
            lambda: opened.check_published(content, predicate),
            "the published figures are those sealed before any release, under the registered plan",
        )
        if content.rows is None:
            report.skipped(12, STEP_NAMES[12], Status.NOT_AT_THIS_STAGE, "recomputation needs the grades, at S3")
        else:
            rows = content.rows
            validity = Validity(
                controls=compute_controls(plan, rows),
                sandbagging="notAssessed",
                canary=compute_canary(rows),
            )
            shown = ("C2", "C3")
            self._attempt(
                12,
                lambda: claims.check_recomputed(
                    predicate, compute_results(plan, rows, predicate.arms), validity, shown=shown
                ),
                f"recomputed from {len(rows)} opened grades",
            )
        if "C7" in content.classes:
            self._attempt(
                12,
                lambda: opened.check_regraded(content),
                f"re-graded from {content.transcripts} opened transcripts",
            )
        self._attempt(
            13,
            lambda: (claims.check_controls(predicate), claims.check_answered(predicate, plan.answered_floor)),
            "no verdict rests on failed controls or unanswered items",
        )

    def _disclosure_step(
        self,
        agreed: parties.Parties,
        log: transcript.Transcript,
        index: parties.Index,
        content: opened.Content | None,
    ) -> None:
        if 15 in log.errors:
            return
        stage = index.document.stage
        self._attempt(15, lambda: disclosure.check_releases(agreed, log), f"{len(log.releases)} releases, none early")
        classes = content.classes if content is not None else ()
        self._attempt(
            15,
            lambda: disclosure.check_shown(
                agreed, log, stage=stage, recipient=index.document.recipient, classes=classes
            ),
            f"the file shows {index.document.recipient} nothing that was not released",
        )
        self._attempt(
            15,
            lambda: disclosure.check_obligations(
                agreed.agreement.policy,
                log,
                disclosure.present(log, self._request.at, agreed.agreement.timing.skew_seconds),
            ),
            "nothing is overdue",
        )
        wanted = self._request.stage
        if wanted is not None and wanted > stage:
            self.report.failed(
                10,
                STEP_NAMES[10],
                EvidenceMissing(f"{wanted} was asked for, this file is of stage {stage}", stage=stage),
            )

    def _assurance_steps(
        self, agreed: parties.Parties, log: transcript.Transcript, predicate: AuditPredicate | None
    ) -> None:
        report = self.report
        facts = claims.derive_facts(
            agreed, log, exchanges_ok=report.ok(7) and report.ok(5), close_ok=report.ok(6)
        )
        report.assurance = derive(facts)
        if predicate is None:
            for step in (16, 17):
                report.skipped(step, STEP_NAMES[step], Status.MISSING, "the attestation could not be read")
            return
        self._attempt(
            16,
            lambda: claims.check_assurance(predicate.assurance, facts),
            "every claimed level is derived from the evidence",
        )
        if not self._request.require:
            report.skipped(17, STEP_NAMES[17], Status.NOT_APPLICABLE, "nothing was required")
            return
        derived = report.assurance
        self._attempt(
            17,
            lambda: claims.check_requirements(self._request.require, derived, predicate),
            f"{len(self._request.require)} requirements are met",
        )

    def _acknowledgement(self, agreed: parties.Parties, index: parties.Index) -> None:
        if "acknowledgement.dsse.json" not in self._container.names:
            return
        _, ok = self._attempt(
            2,
            lambda: claims.open_acknowledgement(self._read("acknowledgement.dsse.json"), agreed, index),
            "the lab acknowledges the transcript facts (not the conclusions)",
        )
        self.report.lab_acknowledged = ok

    def _members_alone(self) -> None:
        # Without an agreement nobody's signature can be placed; the archive's own checksums still can.
        def check() -> None:
            for name in self._container.names:
                for _ in self._container.blocks(name):
                    pass

        self._attempt(1, check, "")

    def _read(self, name: str) -> bytes:
        return self._container.read(name, limit=parties.MAX_DOCUMENT_MEMBER_BYTES)

    def _attempt(self, step: int, action: Callable[[], T], detail: str) -> tuple[T | None, bool]:
        try:
            value = action()
        except SafeconductError as error:
            self.report.failed(step, STEP_NAMES[step], error)
            return None, False
        if detail:
            self.report.passed(step, STEP_NAMES[step], detail)
        return value, True


def sorted_checks(report: Report) -> Sequence[object]:
    """Return the report's checks by step, in the order they were made within one."""
    return sorted(report.checks, key=lambda check: check.step)


def verify_path(stream: BinaryIO, trust: Trust, request: Request) -> Report:
    """Run every check on an open evidence file; a file of the wrong form gives a report as well."""
    try:
        container = Container(stream)
    except SafeconductError as error:
        report = Report()
        report.failed(1, STEP_NAMES[1], error)
        for step, name in STEP_NAMES.items():
            if step not in (0, 1):
                report.skipped(step, name, Status.MISSING, "not checked: this is not an evidence file")
        return report
    return verify_evidence(container, trust, request)
