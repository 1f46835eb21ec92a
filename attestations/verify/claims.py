"""Steps 12 to 17: what the attestation says, held against what the evidence gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attestations.assurance import Facts, derive, overclaimed
from attestations.bundle import parse_bundle
from attestations.digests import sha256
from attestations.documents.base import validated
from attestations.documents.engagement import Acknowledgement
from attestations.envelope import open_envelope, parse_envelope
from attestations.envelope import open_document
from attestations.errors import (
    AssuranceOverclaimed,
    AttributionFailed,
    ClaimUninterpretable,
    CommitmentMismatch,
    ControlsFailed,
    MalformedEnvelope,
    PreRegistrationAltered,
    RelyingPolicyUnmet,
    ScoreMismatch,
    UnsupportedVersion,
)
from attestations.predicate import (
    PREDICATE_TYPE,
    SUBJECT_MANIFEST,
    SUBJECT_VARIANT,
    AssuranceClaim,
    AuditPredicate,
    Result,
    Validity,
)
from attestations.statement import PAYLOAD_TYPE, parse_statement
from attestations.verify.exchanges import ExchangePass
from attestations.verify.parties import Index, Parties
from attestations.verify.transcript import Transcript

LADDERS = {
    "TS": "task_secrecy",
    "MI": "model_identity",
    "CO": "completeness",
    "PR": "pre_registration",
    "EL": "elicitation",
    "GI": "grader_integrity",
    "DE": "disclosure",
}


def open_attestation(data: bytes, parties: Parties, index: Index) -> AuditPredicate:
    """Return the attestation's predicate once signature, subject and place are checked.

    Raises:
        AttributionFailed: its subject is not the model of the agreement.
        UnsupportedVersion: it is of another predicate type.
    """
    envelope = parse_bundle(data)
    payload = open_envelope(
        envelope, payload_type=PAYLOAD_TYPE, required=(parties.auditor_publication,), known=parties.known
    )
    if index.document.attestation != sha256(payload):
        raise CommitmentMismatch("the index is about another attestation")
    statement = parse_statement(payload)
    if statement.predicate_type != PREDICATE_TYPE:
        raise UnsupportedVersion("an attestation of another type", predicate_type=statement.predicate_type[:128])
    predicate = validated(AuditPredicate, statement.predicate)
    _check_subject([(subject.name, dict(subject.digest)) for subject in statement.subject], parties)
    return predicate


def _check_subject(subjects: Sequence[tuple[str, Mapping[str, str]]], parties: Parties) -> None:
    expected = set()
    for variant in parties.agreement.variants:
        if variant.id in parties.agreement.scope.variants:
            expected.add((f"model/{variant.id}", SUBJECT_MANIFEST, variant.manifest))
            expected.add((f"variant/{variant.id}", SUBJECT_VARIANT, variant.digest()))
    found = {(name, algorithm, value) for name, digest in subjects for algorithm, value in digest.items()}
    if found != expected:
        raise AttributionFailed("the attestation is about another model than the agreement")


def check_predicate(predicate: AuditPredicate, parties: Parties, transcript: Transcript, index: Index) -> None:
    """Compare every fact the predicate repeats with the evidence it stands for.

    Raises:
        CommitmentMismatch, PreRegistrationAltered, ScoreMismatch: the first that differs.
    """
    agreement, close, registration = parties.agreement, transcript.close, transcript.registration
    policy = sha256(_canonical(agreement.policy.json_value()))
    claimed = predicate.agreement
    if (claimed.digest, claimed.policy, claimed.publication_control) != (
        parties.digest,
        policy,
        agreement.clauses.publication_control,
    ):
        raise CommitmentMismatch("the attestation is about another agreement", field="agreement")
    registered = predicate.pre_registration
    if registration is None or (registered.digest, registered.suite_root, registered.tasks, registered.log_index) != (
        transcript.registration_digest,
        registration.suite.root,
        registration.suite.tasks,
        "0",
    ):
        raise PreRegistrationAltered("the attestation names another registration", field="preRegistration")
    if predicate.arms != registration.arms:
        raise PreRegistrationAltered("the attestation names other arms than were registered", field="arms")
    levels = [statement.level for statement in transcript.runtimes.values()]
    if set(predicate.runtime.evidence) != set(transcript.runtimes) or predicate.runtime.level != min(
        levels, default="RA0"
    ):
        raise CommitmentMismatch("the attestation names other runtime evidence than the log", field="runtime")
    said = predicate.transcript
    if close is None or (said.origin, said.tree_size, said.root, said.close) != (
        agreement.origin,
        close.tree_size,
        close.root,
        transcript.close_digest,
    ):
        raise CommitmentMismatch("the attestation names another transcript", field="transcript")
    if said.counts.model_dump() != close.counts.model_dump() or said.usage.model_dump() != close.meter.model_dump():
        raise ScoreMismatch("the attestation counts other exchanges than the close statement", field="transcript")
    disclosed = predicate.disclosure
    if (disclosed.stage, disclosed.recipient, disclosed.manifest) != (
        index.document.stage,
        index.document.recipient,
        transcript.manifest_digest,
    ):
        raise CommitmentMismatch("the attestation is of another stage or recipient", field="disclosure")


def check_recomputed(
    predicate: AuditPredicate, results: Sequence[Result], validity: Validity | None, *, shown: tuple[str, ...]
) -> None:
    """Compare the published figures with those computed from the opened grades, field by field.

    Raises:
        ScoreMismatch: a figure differs, is missing, or was never planned.
    """
    expected = [result for result in results if result.content_class in shown]
    if [result.id for result in predicate.results] != [result.id for result in expected]:
        raise ScoreMismatch("the attestation does not report exactly the planned figures")
    for published, computed in zip(predicate.results, expected, strict=True):
        if published != computed:
            fields = [name for name in type(computed).model_fields if getattr(published, name) != getattr(computed, name)]
            raise ScoreMismatch(
                f"{published.id}: the published {fields[0]} does not follow from the grades",
                metric=published.id,
                field=fields[0],
            )
    if validity is not None and predicate.validity != validity:
        raise ScoreMismatch("the published validity figures do not follow from the grades", field="validity")


def check_controls(predicate: AuditPredicate) -> None:
    """Check that a run whose controls failed, or that was hardly answered, claims nothing.

    Raises:
        ControlsFailed, ClaimUninterpretable.
    """
    if predicate.validity is None:
        if predicate.results:
            raise ControlsFailed("results are claimed without their controls")
        return
    controls = predicate.validity.controls
    for result in predicate.results:
        if result.verdict == "uninterpretable":
            continue
        if not controls.positive_ok:
            raise ControlsFailed(
                f"{result.id} claims {result.verdict} though the positive controls failed", metric=result.id
            )


def check_answered(predicate: AuditPredicate, answered_floor: str) -> None:
    """Check that no verdict rests on a run that was hardly answered."""
    from decimal import Decimal  # noqa: PLC0415 - used here only

    for result in predicate.results:
        if result.verdict != "uninterpretable" and Decimal(result.answered) < Decimal(answered_floor):
            raise ClaimUninterpretable(
                f"{result.id} claims {result.verdict} though only {result.answered} was answered", metric=result.id
            )


def derive_facts(parties: Parties, transcript: Transcript, exchanges_ok: bool, *, close_ok: bool) -> Facts:  # noqa: FBT001
    """Return the facts that were established, for `attestations.assurance.derive`."""
    registration = transcript.registration
    levels = [statement.level for statement in transcript.runtimes.values()]
    verified = "RA0" if levels else None  # no verifier for higher runtime evidence is part of this version
    return Facts(
        runtime_level=verified,
        records_signed=exchanges_ok,
        reconciled=exchanges_ok and close_ok and transcript.close is not None,
        registered_first=registration is not None and 4 not in transcript.errors,
        arms=registration.arms if registration is not None else (),
        graders_registered=registration is not None and bool(registration.graders),
        policy_signed=bool(parties.agreement.policy.rules),
        delivered=transcript.delivered,
    )


def check_assurance(claimed: AssuranceClaim, facts: Facts) -> AssuranceClaim:
    """Return the derived levels; raise `AssuranceOverclaimed` if more is claimed."""
    derived = derive(facts)
    for name, (said, found) in overclaimed(claimed, derived).items():
        raise AssuranceOverclaimed(f"{name} is claimed as {said}, the evidence gives {found}", ladder=name)
    return derived


def check_requirements(requirements: Sequence[str], derived: AssuranceClaim, predicate: AuditPredicate) -> None:
    """Check what the reader requires: `CO>=2`, `PR>=1`, or `sandbagging` for a claim that must be present.

    Raises:
        RelyingPolicyUnmet: the first requirement that is not met.
        MalformedEnvelope: a requirement that cannot be read.
    """
    for requirement in requirements:
        if requirement == "sandbagging":
            if predicate.validity is None or predicate.validity.sandbagging == "notAssessed":
                raise RelyingPolicyUnmet("sandbagging was not assessed", requirement=requirement)
            continue
        ladder, separator, level = requirement.partition(">=")
        if ladder not in LADDERS or not separator or not level.isdigit():
            raise MalformedEnvelope(f"a requirement is written as CO>=2, not {requirement[:32]!r}")
        reached = getattr(derived, LADDERS[ladder])
        if int(reached[2:]) < int(level):
            raise RelyingPolicyUnmet(
                f"{ladder}{level} is required, the evidence gives {reached}", requirement=requirement
            )


def open_acknowledgement(data: bytes, parties: Parties, index: Index) -> None:
    """Check the lab's acknowledgement of the attestation's transcript facts."""
    document = open_document(
        parse_envelope(data), Acknowledgement, required=(parties.lab_agreement,), known=parties.known
    )
    if (document.agreement, document.attestation) != (parties.digest, index.document.attestation):
        raise AttributionFailed("the lab acknowledged another attestation")


def exchange_counts(exchanges: ExchangePass) -> dict[str, str]:
    """Return the exchange counts as text, for the report."""
    return {name: str(count) for name, count in exchanges.tally.counts.items()}


def _canonical(value: object) -> bytes:
    from attestations.canonical import canonical_bytes  # noqa: PLC0415 - used here only

    return canonical_bytes(value)
