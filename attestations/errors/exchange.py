"""Errors about the exchange, its runtime and the transcript log."""

from __future__ import annotations

from attestations.errors.base import EvidenceError, ExitCode, PeerError


class SequenceGap(PeerError):
    """A sequence number was skipped."""

    exit_code = ExitCode.INCOMPLETE


class SequenceEquivocation(PeerError):
    """Two different messages claim one place in a session."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK


class PrevHashMismatch(PeerError):
    """The message does not follow the one before it."""

    exit_code = ExitCode.PROOF_INVALID


class PromiseMissing(EvidenceError):
    """A Record stands without its Promise."""

    exit_code = ExitCode.INCOMPLETE


class PromiseUnfulfilled(EvidenceError):
    """A Promise has no Record after its deadline."""

    exit_code = ExitCode.INCOMPLETE


class Unanswered(EvidenceError):
    """An Intent that an agreed relay put before the lab was left without any answer."""

    exit_code = ExitCode.INCOMPLETE


class FalseDenial(EvidenceError):
    """A party denies a document that it has signed."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK


class RevealMismatch(PeerError):
    """The revealed bytes are not those the Intent committed to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class RevealBeforePromise(PeerError):
    """A prompt would be revealed before a verified Promise is held."""


class SeedMismatch(PeerError):
    """The revealed seed share is not the committed one."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class ResponseCommitmentMismatch(EvidenceError):
    """The answer is not the one the Record commits to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class ResponseTruncated(EvidenceError):
    """The answer ended before its final frame."""

    exit_code = ExitCode.INCOMPLETE


class RecordEquivocation(EvidenceError):
    """The lab signed two Records for one Promise."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK


class UsageMeterMismatch(EvidenceError):
    """The recorded usage and the running meter disagree."""

    exit_code = ExitCode.INCOMPLETE


class VariantMismatch(EvidenceError):
    """The answer came from another variant than the one asked for."""

    exit_code = ExitCode.MODEL_IDENTITY_INCONSISTENT


class UndeclaredRouting(EvidenceError):
    """The answer was routed to another model without a word."""

    exit_code = ExitCode.MODEL_IDENTITY_INCONSISTENT


class SilentReexecution(EvidenceError):
    """A request was executed more than once under one Promise."""

    exit_code = ExitCode.INCOMPLETE


class AttestationStale(EvidenceError):
    """The runtime evidence is older than agreed."""

    exit_code = ExitCode.RUNTIME_EVIDENCE_INVALID


class AttestationNonceMismatch(EvidenceError):
    """The runtime evidence answers another challenge."""

    exit_code = ExitCode.RUNTIME_EVIDENCE_INVALID


class MeasurementUnknown(EvidenceError):
    """The runtime evidence measures an unknown image."""

    exit_code = ExitCode.RUNTIME_EVIDENCE_INVALID


class AttestationKeyUnbound(EvidenceError):
    """The runtime evidence does not name the key in use."""

    exit_code = ExitCode.RUNTIME_EVIDENCE_INVALID


class RuntimeDowngrade(EvidenceError):
    """The runtime fell below the agreed level."""

    exit_code = ExitCode.RUNTIME_EVIDENCE_INVALID


class SealedOpenFailed(EvidenceError):
    """Sealed bytes do not open under the key and context they belong to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class InclusionProofInvalid(EvidenceError):
    """A leaf is not where the proof says it is."""

    exit_code = ExitCode.PROOF_INVALID


class ConsistencyProofInvalid(EvidenceError):
    """A newer tree does not extend the older one."""

    exit_code = ExitCode.PROOF_INVALID


class CheckpointInvalid(EvidenceError):
    """The checkpoint does not match the log it speaks of."""

    exit_code = ExitCode.PROOF_INVALID


class LogEquivocation(EvidenceError):
    """Two signed checkpoints of one log contradict each other."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK


class LogRollback(EvidenceError):
    """The log is shorter than a checkpoint already cosigned."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK


class WitnessQuorumUnmet(EvidenceError):
    """Too few distinct witnesses cosigned the checkpoint."""

    exit_code = ExitCode.WITNESS_QUORUM_UNMET


class CosignOverdue(EvidenceError):
    """The auditor has not cosigned the log in the agreed time."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class CloseStatementMismatch(EvidenceError):
    """The close statement and the log disagree."""

    exit_code = ExitCode.INCOMPLETE


class ExchangeOmitted(EvidenceError):
    """An exchange that took place is missing from what is shown."""

    exit_code = ExitCode.INCOMPLETE


class TimeOrderViolation(EvidenceError):
    """A signed time runs backwards or lies outside the agreed skew."""

    exit_code = ExitCode.PROOF_INVALID
