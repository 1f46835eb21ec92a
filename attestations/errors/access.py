"""Errors about agreements, scope, budgets and the readiness of a machine."""

from __future__ import annotations

from attestations.errors.base import EvidenceError, ExitCode, PeerError, RefusedError, SetupError


class OfferExpired(RefusedError):
    """The offer's `validUntil` has passed."""


class OfferSuperseded(RefusedError):
    """A newer offer has replaced this one."""


class SignatureLocked(PeerError):
    """The party has signed an Accept and may sign nothing else until it expires."""


class AgreementDigestMismatch(PeerError):
    """The parties signed different documents."""

    exit_code = ExitCode.COMMITMENT_MISMATCH


class PolicyUnsatisfiable(RefusedError):
    """The disclosure policy breaks a rule of the linter, named in the facts."""


class ProtectedClauseViolation(RefusedError):
    """A protected clause, or what never changes, was changed without its beneficiary's signature."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class AmendmentRetroactive(RefusedError):
    """An amendment would undo what has already happened."""

    exit_code = ExitCode.DISCLOSURE_BREACH


class TermsRefused(RefusedError):
    """The lab's configuration does not allow this auditor what the offer asks."""


class PhaseViolation(RefusedError):
    """The engagement is not in the phase this step belongs to."""


class ScopeExceeded(RefusedError):
    """The request lies outside what the agreement grants."""


class BudgetExhausted(RefusedError):
    """The agreed budget cannot cover the request."""


class RateLimited(RefusedError):
    """Too many at once, or too many unused Promises."""


class EngagementUnknown(RefusedError):
    """No agreement of this digest is in force here."""


class SessionUnknown(RefusedError):
    """No session of this name is open under the agreement."""


class EngagementSuspended(RefusedError):
    """The engagement is suspended."""


class HookRefused(RefusedError):
    """The lab declined an elicitation hook."""


class PackTooLate(RefusedError):
    """The lab's elicitation pack came after TEST had begun."""


class SlaBreached(EvidenceError):
    """The lab did not give the access it had signed for."""

    exit_code = ExitCode.INCOMPLETE


class LabUnreachable(SetupError):
    """The lab's service does not answer."""

    exit_code = ExitCode.UNREACHABLE


class JudgeUnreachable(SetupError):
    """The model that grades does not answer."""

    exit_code = ExitCode.UNREACHABLE


class WorkerUnavailable(SetupError):
    """The worker process is not there to run the model."""


class BackendFailed(SetupError):
    """The model backend failed, stalled or answered with nonsense."""


class TrainingFailed(SetupError):
    """A fine-tune job could not be carried out; the fact `code` says why."""


class StoreFailed(SetupError):
    """The store could not make a change durable (a full disk, a damaged file)."""


class ConfigurationInvalid(SetupError):
    """A configuration file or option does not make sense."""


class FileUnusable(SetupError):
    """A file that is needed is missing, unreadable or not what it should be."""


class PortInUse(SetupError):
    """Another program already listens at the configured address."""


class SuiteInvalid(SetupError):
    """The suite does not hold together; the facts name the task and the rule."""
