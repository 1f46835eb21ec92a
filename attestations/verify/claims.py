"""Step 2: the attestation is signed, about the agreement's model, and repeats the evidence's facts as they are."""

from __future__ import annotations

from datetime import date

from attestations.bundle import parse_bundle
from attestations.canonical import canonical_bytes
from attestations.digests import sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time, validated
from attestations.documents.engagement import Acknowledgement, CloseStatement, PreRegistration
from attestations.envelope import open_document, open_envelope, parse_envelope
from attestations.errors import (
    AttributionFailed,
    CommitmentMismatch,
    EvidenceMissing,
    PreRegistrationAltered,
    ScoreMismatch,
    UnsupportedVersion,
)
from attestations.policy.calendar import business_days_between
from attestations.policy.evaluate import Bounds, evaluate
from attestations.predicate import PREDICATE_TYPE, SUBJECT_MANIFEST, SUBJECT_VARIANT, AuditPredicate
from attestations.statement import PAYLOAD_TYPE, parse_statement
from attestations.verify.parties import Index, Parties
from attestations.verify.transcript import Transcript


def open_attestation(data: bytes, parties: Parties, index: Index) -> AuditPredicate:
    """Return the attestation's predicate once signature and place are checked.

    Raises:
        UnsupportedVersion: it is of another predicate type.
        CommitmentMismatch: the index names another attestation.
    """
    envelope = parse_bundle(data)
    payload = open_envelope(
        envelope, payload_type=PAYLOAD_TYPE, required=(parties.auditor_publication,), known=parties.known
    )
    if index.document.attestation != sha256(payload):
        raise CommitmentMismatch("the index is about another attestation")
    statement = parse_statement(payload)
    if statement.predicate_type != PREDICATE_TYPE:
        raise UnsupportedVersion("an attestation of another type")
    return validated(AuditPredicate, statement.predicate)


def check_subject(data: bytes, transcript: Transcript) -> None:
    """Check that an attestation that was opened is about the models in the agreement's scope, as last amended.

    Raises:
        AttributionFailed: it is about another model.
    """
    subjects = [(subject.name, dict(subject.digest)) for subject in parse_statement(parse_bundle(data).payload).subject]
    expected = set()
    agreement = transcript.revisions.signed
    for variant in agreement.variants:
        if variant.id in agreement.scope.variants:
            expected.add((f"model/{variant.id}", SUBJECT_MANIFEST, variant.manifest))
            expected.add((f"variant/{variant.id}", SUBJECT_VARIANT, variant.digest()))
    found = {(name, algorithm, value) for name, digest in subjects for algorithm, value in digest.items()}
    if found != expected:
        raise AttributionFailed("the attestation is about another model than the agreement")


def check_predicate(predicate: AuditPredicate, parties: Parties, transcript: Transcript, index: Index) -> None:
    """Compare every fact the predicate repeats with the evidence it stands for.

    Raises:
        CommitmentMismatch, PreRegistrationAltered, ScoreMismatch: the first that differs.
        EvidenceMissing: the log could not be followed to what decides it.
    """
    agreement, close, registration = transcript.revisions.signed, transcript.close, transcript.registration
    policy = sha256(canonical_bytes(agreement.policy.json_value()))
    claimed = predicate.agreement
    if (claimed.digest, claimed.policy, claimed.publication_control) != (
        parties.digest,
        policy,
        agreement.clauses.publication_control,
    ):
        raise CommitmentMismatch("the attestation is about another agreement", field="agreement")
    disclosed = predicate.disclosure
    if (disclosed.stage, disclosed.recipient) != (index.document.stage, index.document.recipient):
        raise CommitmentMismatch("the attestation is of another stage or recipient", field="disclosure")
    sealed = transcript.manifest is not None or transcript.ledger.aborted is not None
    if registration is None or close is None or not sealed:
        raise EvidenceMissing("what the attestation repeats could not be found in the log")
    _check_registration(predicate, transcript, registration)
    levels = [statement.level for statement in transcript.runtimes.values()]
    runtime = (set(predicate.runtime.evidence), predicate.runtime.level)
    if runtime != (set(transcript.runtimes), min(levels, default="RA0")):
        raise CommitmentMismatch("the attestation names other runtime evidence than the log", field="runtime")
    if disclosed.manifest != transcript.manifest_digest:
        raise CommitmentMismatch("the attestation names other packages than the log", field="disclosure")
    _check_states(predicate, agreement, transcript)
    _check_transcript(predicate, agreement, transcript, close)
    days = effective_business_days(agreement, registration, close)
    if predicate.transcript.effective_access_business_days != str(days):
        raise ScoreMismatch(f"{days} business days of access were given", field="effectiveAccessBusinessDays")


def effective_business_days(agreement: Agreement, registration: PreRegistration, close: CloseStatement) -> int:
    """Return how many business days began between the start of access, or of the suite, and the close."""
    holidays = frozenset(date.fromisoformat(day) for day in agreement.policy.calendar.holidays)
    start = max(parse_time(agreement.access.not_before), parse_time(registration.registered_at))
    return business_days_between(start, parse_time(close.closed_at), holidays)


def _check_registration(predicate: AuditPredicate, transcript: Transcript, registration: PreRegistration) -> None:
    registered = predicate.pre_registration
    if (registered.digest, registered.suite_root, registered.tasks, registered.log_index) != (
        transcript.registration_digest,
        registration.suite.root,
        registration.suite.tasks,
        str(transcript.registration_index),
    ):
        raise PreRegistrationAltered("the attestation names another registration", field="preRegistration")
    if predicate.arms != registration.arms:
        raise PreRegistrationAltered("the attestation names other arms than were registered", field="arms")


def _check_states(predicate: AuditPredicate, agreement: Agreement, transcript: Transcript) -> None:
    issued = parse_time(predicate.issued_at)
    states = evaluate(agreement.policy, transcript.events, Bounds(issued, issued))
    claimed = {(item.content_class, item.to): item.state for item in predicate.disclosure.states}
    if claimed != {place: state.value for place, state in states.items()}:
        raise CommitmentMismatch("the attestation states the policy otherwise than it stood", field="states")


def _check_transcript(
    predicate: AuditPredicate, agreement: Agreement, transcript: Transcript, close: CloseStatement
) -> None:
    said = predicate.transcript
    if (said.origin, said.tree_size, said.root, said.close) != (
        agreement.origin,
        close.tree_size,
        close.root,
        transcript.close_digest,
    ):
        raise CommitmentMismatch("the attestation names another transcript", field="transcript")
    if said.counts.model_dump() != close.counts.model_dump() or said.usage.model_dump() != close.meter.model_dump():
        raise ScoreMismatch("the attestation counts other exchanges than the close statement", field="transcript")


def check_publication(payload: bytes, index: Index) -> None:
    """Check that an identity-based signature is over exactly this file's attestation.

    Raises:
        AttributionFailed: it is over another statement.
    """
    if sha256(payload) != index.document.attestation:
        raise AttributionFailed("the identity-based signature is over another attestation than this file's")


def open_acknowledgement(data: bytes, parties: Parties, index: Index) -> None:
    """Check the lab's acknowledgement of the attestation's transcript facts.

    Raises:
        AttributionFailed: it acknowledges another attestation.
    """
    document = open_document(
        parse_envelope(data), Acknowledgement, required=(parties.lab_agreement,), known=parties.known
    )
    if (document.agreement, document.attestation) != (parties.digest, index.document.attestation):
        raise AttributionFailed("the lab acknowledged another attestation")
