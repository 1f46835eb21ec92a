"""Errors about commitments, pre-registration, disclosure and results."""

from __future__ import annotations

from attestations.errors.base import EvidenceError, ExitCode, PeerError, RefusedError


class CommitmentMismatch(EvidenceError):
    """Opened content is not what was committed to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class WeakSalt(EvidenceError):
    """A salt is shorter than 32 bytes or used twice."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class RegistrationTooLate(EvidenceError):
    """The suite was registered after the first Promise."""

    exit_code = ExitCode.PREREGISTRATION_VIOLATED


class PreRegistrationAltered(EvidenceError):
    """What was registered and what was used are not the same."""

    exit_code = ExitCode.PREREGISTRATION_VIOLATED


class SelectionNotReproducible(EvidenceError):
    """The drawn tasks do not follow from the registered rule."""

    exit_code = ExitCode.PREREGISTRATION_VIOLATED


class UnaccountedTask(EvidenceError):
    """A scheduled task has no outcome, or an exchange no scheduled task."""

    exit_code = ExitCode.INCOMPLETE


class DecoyScored(EvidenceError):
    """An item that does not count was counted, or one that counts was not."""

    exit_code = ExitCode.SCORE_MISMATCH


class DisclosureEarly(EvidenceError):
    """Something was released before the policy permitted it."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class DisclosureOverdue(EvidenceError):
    """Something the policy obliges was not released in time."""

    exit_code = ExitCode.DISCLOSURE_OVERDUE


class DisclosureForbidden(RefusedError):
    """The policy does not permit this release now."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class RecipientNotPermitted(EvidenceError):
    """Something was released to a recipient the policy has no rule for."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class RedactionNotAllowed(EvidenceError):
    """Something was kept closed by someone who may not keep it closed."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class HoldTooLate(EvidenceError):
    """A hold was stated when nothing was left for it to delay."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class HoldLimitExceeded(EvidenceError):
    """A hold asks for more days than the policy leaves."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class OrderInvalid(EvidenceError):
    """An order has no legal basis, has expired or is not the regulator's."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class OrderOutOfScope(EvidenceError):
    """An order asks for a class or recipient for which the policy waits for no order."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class EmergencyQuorumUnmet(EvidenceError):
    """A wider emergency release is not signed by both the auditor and the regulator."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class EmergencyScopeExceeded(EvidenceError):
    """An emergency release goes to more recipients, or shows more, than an emergency allows."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class TlpDowngrade(EvidenceError):
    """Something carries a looser sharing label than its class allows."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class IrrevocableRelease(EvidenceError):
    """What was released cannot be taken back."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class PackageManifestMismatch(EvidenceError):
    """A sealed package is not the one its signed manifest describes."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class PackageDecryptFailed(EvidenceError):
    """A sealed chunk does not open under its committed key."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class KeyCommitmentMismatch(EvidenceError):
    """A released key is not the committed one."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class ReleasedContentMismatch(EvidenceError):
    """Released content is not what was run, graded or logged."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class HazardFieldExposed(EvidenceError):
    """A hazardous field is in a release that must not hold it."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class EscrowQuorumUnmet(RefusedError):
    """Too few holders take part to open what is in escrow."""


class EscrowShareInvalid(EvidenceError):
    """A holder's share is not the one that was committed to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class ScoreMismatch(EvidenceError):
    """A published figure does not follow from the evidence."""

    exit_code = ExitCode.SCORE_MISMATCH


class GraderDigestMismatch(EvidenceError):
    """The grader is not the registered one."""

    exit_code = ExitCode.SCORE_MISMATCH


class AnalysisDeviationUndeclared(EvidenceError):
    """The analysis departs from the registered plan without saying so."""

    exit_code = ExitCode.SCORE_MISMATCH


class ArmNotFollowed(EvidenceError):
    """An item was asked otherwise than its registered arm says."""

    exit_code = ExitCode.PREREGISTRATION_VIOLATED


class ControlsFailed(EvidenceError):
    """The run's own controls say its results mean nothing, yet it claims them."""

    exit_code = ExitCode.CONTROLS_FAILED


class ClaimUninterpretable(EvidenceError):
    """Too little was answered for the claim that is made."""

    exit_code = ExitCode.CONTROLS_FAILED


class ModelIdentityMismatch(EvidenceError):
    """The model audited is not the model claimed."""

    exit_code = ExitCode.MODEL_IDENTITY_INCONSISTENT


class AssuranceOverclaimed(EvidenceError):
    """A level is claimed that the evidence does not give."""

    exit_code = ExitCode.ASSURANCE_OVERCLAIMED


class EvidenceMissing(EvidenceError):
    """What would decide the question is not in the evidence."""

    exit_code = ExitCode.INDETERMINATE


class RelyingPolicyUnmet(EvidenceError):
    """The evidence holds but does not reach what the reader requires."""

    exit_code = ExitCode.POLICY_NOT_MET


class AttributionFailed(EvidenceError):
    """The attestation is not about the thing it was attached to."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class PlaintextInLog(PeerError):
    """Hidden content reached a log, a metric or an error message."""
