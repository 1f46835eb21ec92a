"""Writes the attestation of one stage: what the evidence shows so far, and in plain words what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from attestations.assurance import Facts, derive
from attestations.bundle import build_bundle
from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.base import format_time, parse_time
from attestations.documents.engagement import PreRegistration, Stage
from attestations.elicitation.claims import ElicitationClaim
from attestations.elicitation.course import Established
from attestations.envelope import Envelope, sign
from attestations.errors import PhaseViolation
from attestations.policy.calendar import business_days_between
from attestations.policy.evaluate import Bounds, evaluate
from attestations.predicate import (
    SUBJECT_MANIFEST,
    SUBJECT_VARIANT,
    AgreementClaim,
    AuditPredicate,
    DisclosureClaim,
    Measure,
    PolicyState,
    RegistrationClaim,
    Result,
    RuntimeClaim,
    TranscriptClaim,
    TranscriptCounts,
    TranscriptUsage,
    Validity,
)
from attestations.statement import PAYLOAD_TYPE, Subject, build_statement
from auditor_client.engagement import Engagement
from auditor_client.history import History

LIMITATIONS = """\
This attests what was asked, what was answered and what follows from it under a plan fixed in advance; it is not a \
statement that a model is safe. \
Runtime level RA0: which weights ran, and that prompts were neither kept nor used for training, is the lab's signed \
word. \
{elicited} \
A low figure bounds what these tasks drew out of this model under this budget; a small model scores low because it is \
small, and the tasks are proxies for a capability, not the capability. \
What lab and model do outside this protocol is not in its evidence."""


@dataclass(frozen=True)
class Reported:
    """The figures a stage may show: none at S1, aggregates at S2, everything from S3."""

    results: Sequence[Result]
    validity: Validity | None
    measures: Sequence[Measure] = ()
    headline: str | None = None
    elicitation: ElicitationClaim | None = None
    done: Established = field(default_factory=Established)


@dataclass(frozen=True)
class Attested:
    """A signed attestation in its bundle, and the digest by which others name it."""

    bundle: bytes
    digest: str


def attest(
    *,
    engagement: Engagement,
    registration: PreRegistration,
    history: History,
    reported: Reported,
    stage: Stage,
    recipient: str,
    supersedes: str | None,
    now: datetime,
) -> Attested:
    """Sign the attestation for one stage and recipient.

    Raises:
        PhaseViolation: the run is not closed, or its packages are not sealed.
    """
    agreement, close = engagement.agreement, history.close
    sealed = history.manifest_digest is not None or history.ledger.aborted is not None
    if close is None or history.close_digest is None or not sealed:
        raise PhaseViolation("an attestation needs a closed run and sealed packages")
    if history.registration_digest is None:
        raise PhaseViolation("an attestation needs a registered suite")
    levels = [statement.level for statement in history.runtimes.values()]
    holidays = frozenset(datetime.fromisoformat(day).date() for day in agreement.policy.calendar.holidays)
    opened = max(parse_time(agreement.access.not_before), parse_time(registration.registered_at))
    skew = Bounds(now, now)
    states = evaluate(agreement.policy, history.events, skew)
    predicate = AuditPredicate(
        agreement=AgreementClaim(
            digest=engagement.digest,
            policy=sha256(canonical_bytes(agreement.policy.json_value())),
            publication_control=agreement.clauses.publication_control,
        ),
        pre_registration=RegistrationClaim(
            digest=history.registration_digest,
            suite_root=registration.suite.root,
            tasks=registration.suite.tasks,
            log_index=history.registration_index,
        ),
        arms=registration.arms,
        runtime=RuntimeClaim(level=min(levels, default="RA0"), evidence=tuple(sorted(history.runtimes))),
        transcript=TranscriptClaim(
            origin=agreement.origin,
            tree_size=close.tree_size,
            root=close.root,
            close=history.close_digest,
            counts=TranscriptCounts(**close.counts.model_dump()),
            usage=TranscriptUsage(**close.meter.model_dump()),
            effective_access_business_days=str(business_days_between(opened, parse_time(close.closed_at), holidays)),
        ),
        results=tuple(reported.results),
        validity=reported.validity,
        measures=tuple(reported.measures),
        headline=reported.headline,
        disclosure=DisclosureClaim(
            stage=stage,  # type: ignore[arg-type]
            recipient=recipient,
            manifest=history.manifest_digest,
            states=tuple(
                PolicyState(content_class=content_class, to=to, state=state.value)
                for (content_class, to), state in sorted(states.items())
            ),
        ),
        elicitation=reported.elicitation,
        assurance=derive(
            Facts(
                runtime_level="RA0" if levels else None,
                records_signed=True,
                reconciled=True,
                registered_first=True,
                elicited=reported.done,
                graders_registered=bool(registration.graders),
                policy_signed=bool(agreement.policy.rules),
                delivered=history.delivered,
            )
        ),
        limitations_text=LIMITATIONS.format(elicited=_elicited(reported)),
        issued_at=format_time(now),
        supersedes=supersedes,
    )
    envelope = _signed(predicate, engagement)
    return Attested(build_bundle(envelope, engagement.keys.publication.key), envelope.digest)


def _elicited(reported: Reported) -> str:
    if reported.elicitation is None:
        return (
            "The model was asked as shipped: better elicitation may find more capability, and sandbagging was not "
            "assessed."
        )
    if reported.done.fine_tuned:
        return "Elicitation finds at least what it finds: a model that holds back may resist this fine-tuning."
    return "Sandbagging was not assessed by fine-tuning: prompts alone draw out little of what a model holds back."


def _signed(predicate: AuditPredicate, engagement: Engagement) -> Envelope:
    agreement = engagement.agreement
    scope = [variant for variant in agreement.variants if variant.id in agreement.scope.variants]
    subjects = [Subject(name=f"model/{variant.id}", digest={SUBJECT_MANIFEST: variant.manifest}) for variant in scope]
    subjects += [Subject(name=f"variant/{variant.id}", digest={SUBJECT_VARIANT: variant.digest()}) for variant in scope]
    return sign(PAYLOAD_TYPE, build_statement(tuple(subjects), predicate), engagement.keys.publication)
