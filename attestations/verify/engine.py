"""The order of the checks: `docs/spec/verification.md` as code.

Every step that can be made is made; a step whose ground another step has taken away says so and does not
guess. The report's exit code is the failing one that comes first in the published precedence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from attestations.assurance import Facts, derive
from attestations.container import Container, Watch
from attestations.errors import EvidenceMissing, SafeconductError
from attestations.escrow.released import EscrowRelease
from attestations.predicate import AuditPredicate
from attestations.trust import Trust
from attestations.verify import assured, checkpoints, claims, disclosure, elicitation, escrow, parties, transcript
from attestations.verify.content import content_steps
from attestations.verify.limitations import limitations
from attestations.verify.log_steps import last_uses, log_steps
from attestations.verify.opened import Content
from attestations.verify.report import Report, Status
from attestations.verify.sightings import MEMBER, Sightings
from attestations.verify.steps import STEP_NAMES, Attempts, Step


@dataclass(frozen=True)
class Publication:
    """An identity-based signature beside the file: whose it must be, and how to get the bytes it is over."""

    identity: str
    issuer: str
    payload: Callable[[], bytes]


@dataclass(frozen=True)
class Request:
    """What a reader asks for besides the file: a time to judge at, a stage to insist on, levels to require.

    `escrow` holds what a quorum of holders released in the auditor's stead.
    """

    at: datetime | None = None
    stage: str | None = None
    require: tuple[str, ...] = ()
    publication: Publication | None = None
    escrow: tuple[EscrowRelease, ...] = ()

    def __post_init__(self) -> None:
        """Refuse requirements that mean nothing, before a file is read."""
        for requirement in self.require:
            if not assured.is_requirement(requirement):
                raise ValueError(f"a requirement is written as CO>=2, not {requirement[:32]!r}")

    @property
    def unasked(self) -> tuple[Step, ...]:
        """The steps that are not part of this request."""
        return (Step.PUBLICATION,) if self.publication is None else ()


@dataclass
class Examined:
    """The report on an evidence file, and what was read for it: readers of more of the file need not begin again."""

    container: Container
    trust: Trust
    report: Report
    agreed: parties.Parties | None = None
    log: transcript.Transcript | None = None
    content: Content | None = None

    def ground(self) -> tuple[parties.Parties, transcript.Transcript]:
        """Return the agreement and the log.

        Raises:
            SafeconductError: what kept them from being read.
        """
        agreed = self.agreed or parties.open_agreement(self.container, self.trust)
        return agreed, self.log or transcript.read_log(self.container.lines("log.jsonl"), agreed)


def verify_path(stream: BinaryIO, trust: Trust, request: Request, *, watch: Watch | None = None) -> Report:
    """Run every check on an open evidence file; a file of the wrong form gives a report as well."""
    attempts = Attempts(Report())
    attempts.passed(Step.TRUST, f"{len(trust.parties)} trusted parties")
    container = attempts.attempt(Step.WHOLE, lambda: Container(stream, watch))
    if container is not None:
        _verify(Examined(container, trust, attempts.report), request, attempts)
    detail = "not checked: an earlier check failed" if container else "not checked: not an evidence file"
    attempts.unreached(detail, unasked=request.unasked)
    return attempts.report


def verify_evidence(container: Container, trust: Trust, request: Request) -> Report:
    """Run every check on an evidence file and return the report; never raises for what the file holds."""
    return examine(container, trust, request).report


def examine(container: Container, trust: Trust, request: Request) -> Examined:
    """Do the same, and return what was read along with the report."""
    attempts = Attempts(Report())
    attempts.passed(Step.TRUST, f"{len(trust.parties)} trusted parties")
    found = Examined(container, trust, attempts.report)
    _verify(found, request, attempts)
    attempts.unreached("not checked: an earlier check failed", unasked=request.unasked)
    return found


def _verify(found: Examined, request: Request, attempts: Attempts) -> None:
    report, container, trust = found.report, found.container, found.trust
    found.agreed = agreed = attempts.attempt(Step.AGREEMENT, lambda: parties.open_agreement(container, trust))
    if agreed is None:
        return
    agreement = agreed.agreement
    attempts.attempt(
        Step.AGREEMENT,
        lambda: parties.check_agreement(agreed, trust),
        f"{agreement.party('lab').id} and {agreement.party('auditor').id} signed the same bytes",
    )
    index = attempts.attempt(Step.WHOLE, lambda: parties.open_index(container, agreed))
    if index is None:
        return
    report.stage, report.recipient = index.document.stage, index.document.recipient
    attempts.attempt(
        Step.WHOLE,
        lambda: parties.check_members(container, index.document),
        f"{len(index.document.members)} members, each bound by the auditor's signed index",
    )
    predicate = attempts.attempt(
        Step.ATTESTATION,
        lambda: claims.open_attestation(_read(container, "attestation.sigstore.json"), agreed, index),
        "signed with the publication key the agreement names",
    )
    report.predicate = predicate
    if predicate is not None:
        report.attestation = index.document.attestation
        _publication_step(index, request, attempts)
    found.log = log = attempts.attempt(
        Step.EXCHANGES, lambda: transcript.read_log(container.lines("log.jsonl"), agreed)
    )
    if log is None:
        return
    report.counted = {name: str(count) for name, count in log.exchanges.tally.counts.items()}
    attempts.attempt(Step.AGREEMENT, lambda: parties.check_used(agreed, trust, last_uses(log, agreed)))
    for party in log.parties.values():
        attempts.attempt(Step.AGREEMENT, lambda party=party: trust.confirm(party))  # type: ignore[misc]
    log_steps(agreed, log, attempts)
    attempts.attempt(
        Step.CHECKPOINT,
        lambda: checkpoints.check_checkpoint(_read(container, "checkpoint.txt"), agreed, log, trust),
        f"{log.size} leaves, signed by the lab and cosigned by the auditor",
    )
    attempts.skipped(Step.REPORTS, Status.NOT_APPLICABLE, "no identity report is part of this evidence")
    if predicate is not None:
        attempts.attempt(
            Step.ATTESTATION,
            lambda: claims.check_subject(_read(container, "attestation.sigstore.json"), log),
        )
        attempts.attempt(
            Step.ATTESTATION,
            lambda: claims.check_predicate(predicate, agreed, log, index),
            "every fact it repeats equals the evidence",
        )
        attempts.attempt(Step.ATTESTATION, lambda: elicitation.check_outline(predicate, log))
    escrowed = escrow.Escrowed()
    if not log.broken:
        escrowed = escrow.escrow_step(request.escrow, agreed, log, trust, request.at, attempts)
    found.content = content = content_steps(container, log, predicate, attempts, escrowed.keys)
    _disclosure_step(container, agreed, log, index, content, request, escrowed, attempts)
    if request.stage is not None and request.stage > index.document.stage:
        error = EvidenceMissing(f"{request.stage} was asked for, this file is of {index.document.stage}")
        attempts.failed(Step.OPENED, error)
    if "acknowledgement.dsse.json" in container.names:
        attempts.attempt(
            Step.ATTESTATION,
            lambda: claims.open_acknowledgement(_read(container, "acknowledgement.dsse.json"), agreed, index),
            "the lab acknowledges the transcript facts (not the conclusions)",
        )
        report.lab_acknowledged = report.ok(Step.ATTESTATION)
    _assurance_steps(agreed, log, content, predicate, request, trust, attempts)
    published = request.publication is not None and report.ok(Step.PUBLICATION)
    report.escrow = tuple(escrowed.told)
    lines = limitations(log.agreement, log, predicate, content, published=published)
    report.limitations = (*lines, *escrow.limits(agreed, log, trust, escrowed))


def _publication_step(index: parties.Index, request: Request, attempts: Attempts) -> None:
    publication = request.publication
    if publication is not None:
        attempts.attempt(
            Step.PUBLICATION,
            lambda: claims.check_publication(publication.payload(), index),
            f"{publication.identity} ({publication.issuer}) signed this attestation; that raises no level",
        )


def _disclosure_step(
    container: Container,
    agreed: parties.Parties,
    log: transcript.Transcript,
    index: parties.Index,
    content: Content | None,
    request: Request,
    escrowed: escrow.Escrowed,
    attempts: Attempts,
) -> None:
    if Step.DISCLOSURE in log.errors:
        attempts.failed(Step.DISCLOSURE, log.errors[Step.DISCLOSURE])
    if log.broken:
        attempts.missing("the log could not be followed to its end", Step.DISCLOSURE)
        return
    agreement, document = agreed.agreement, index.document
    for error in disclosure.check_statements(log):
        attempts.failed(Step.DISCLOSURE, error)
    sightings = Sightings(agreed, log)
    if "checkpoint.txt" in container.names:
        attempts.attempt(Step.DISCLOSURE, lambda: sightings.last(_read(container, "checkpoint.txt")))
    if MEMBER in container.names:
        attempts.attempt(Step.DISCLOSURE, lambda: sightings.read(container.lines(MEMBER)))
    attempts.attempt(
        Step.DISCLOSURE,
        lambda: disclosure.check_releases(agreed, log, sightings),
        f"{len(log.releases)} releases, none early",
    )
    if content is not None:
        attempts.attempt(
            Step.DISCLOSURE,
            lambda: disclosure.check_shown(log, document, content),
            f"the file shows {document.recipient} nothing that was not released",
        )
    attempts.attempt(
        Step.DISCLOSURE,
        lambda: disclosure.check_obligations(
            log.agreement.policy,
            log,
            disclosure.present(log, request.at, agreement.timing.skew_seconds),
            close_seconds=agreement.timing.respond_seconds,
            escrowed=escrowed.events,
        ),
        "nothing is overdue",
    )


def _assurance_steps(
    agreed: parties.Parties,
    log: transcript.Transcript,
    content: Content | None,
    predicate: AuditPredicate | None,
    request: Request,
    trust: Trust,
    attempts: Attempts,
) -> None:
    report = attempts.report
    facts = Facts()
    if report.ok(Step.WHOLE) and report.ok(Step.AGREEMENT):
        exchanges = report.ok(Step.EXCHANGES) and report.ok(Step.CHECKPOINT)
        facts = assured.derive_facts(
            agreed,
            log,
            content,
            exchanges=exchanges,
            close=report.ok(Step.CLOSE),
            figures=report.ok(Step.FIGURES) and report.ok(Step.SCHEDULE),
            escrow_verified=escrow.is_verified(agreed, log, trust),
        )
    derived = report.assurance = derive(facts)
    if predicate is None:
        attempts.missing("the attestation could not be read", Step.ASSURANCE, Step.REQUIREMENTS)
        return
    attempts.attempt(
        Step.ASSURANCE,
        lambda: assured.check_assurance(predicate.assurance, facts),
        "every claimed level is derived from the evidence",
    )
    attempts.attempt(Step.CONTROLS, lambda: assured.check_sandbagging(predicate, facts.elicited, log.registration))
    if not request.require:
        attempts.skipped(Step.REQUIREMENTS, Status.NOT_APPLICABLE, "nothing was required")
        return
    attempts.attempt(
        Step.REQUIREMENTS,
        lambda: assured.check_requirements(request.require, derived, predicate),
        f"{len(request.require)} requirements are met",
    )


def _read(container: Container, name: str) -> bytes:
    return container.read(name, limit=parties.MAX_DOCUMENT_MEMBER_BYTES)


__all__ = ["STEP_NAMES", "Examined", "Request", "SafeconductError", "examine", "verify_evidence", "verify_path"]
