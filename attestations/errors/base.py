"""The root of every error this project raises on purpose, branched by whose fault it is.

Wrong use by our own code is `RuntimeError` or `AssertionError` and stays outside the tree.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command returns to the shell; `docs/spec/verification.md` explains each."""

    OK = 0
    USAGE = 2
    MALFORMED = 10
    UNSUPPORTED_VERSION = 11
    SIGNATURE_INVALID = 20
    ROLE_OR_TRUST_MISSING = 21
    KEY_INVALID_AT_TIME = 22
    COMMITMENT_MISMATCH = 30
    PROOF_INVALID = 31
    EQUIVOCATION_OR_ROLLBACK = 32
    INCOMPLETE = 33
    WITNESS_QUORUM_UNMET = 34
    PREREGISTRATION_VIOLATED = 40
    SCORE_MISMATCH = 41
    CONTROLS_FAILED = 42
    MODEL_IDENTITY_INCONSISTENT = 43
    RUNTIME_EVIDENCE_INVALID = 44
    DISCLOSURE_BREACH = 50
    DISCLOSURE_OVERDUE = 51
    ASSURANCE_OVERCLAIMED = 60
    POLICY_NOT_MET = 61
    INDETERMINATE = 70
    INTERNAL = 75
    REFUSED = 80
    SETUP = 81
    UNREACHABLE = 82
    INTERRUPTED = 130


# All checks run; the exit code is the failing one that comes first here (docs/spec/verification.md).
PRECEDENCE: tuple[ExitCode, ...] = (
    ExitCode.USAGE,
    ExitCode.MALFORMED,
    ExitCode.UNSUPPORTED_VERSION,
    ExitCode.SIGNATURE_INVALID,
    ExitCode.ROLE_OR_TRUST_MISSING,
    ExitCode.KEY_INVALID_AT_TIME,
    ExitCode.EQUIVOCATION_OR_ROLLBACK,
    ExitCode.PROOF_INVALID,
    ExitCode.COMMITMENT_MISMATCH,
    ExitCode.INCOMPLETE,
    ExitCode.WITNESS_QUORUM_UNMET,
    ExitCode.RUNTIME_EVIDENCE_INVALID,
    ExitCode.PREREGISTRATION_VIOLATED,
    ExitCode.SCORE_MISMATCH,
    ExitCode.CONTROLS_FAILED,
    ExitCode.MODEL_IDENTITY_INCONSISTENT,
    ExitCode.DISCLOSURE_BREACH,
    ExitCode.DISCLOSURE_OVERDUE,
    ExitCode.ASSURANCE_OVERCLAIMED,
    ExitCode.POLICY_NOT_MET,
    ExitCode.INDETERMINATE,
    ExitCode.REFUSED,
    ExitCode.SETUP,
    ExitCode.UNREACHABLE,
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL,
)


class SafeconductError(Exception):
    """Something went wrong that a person can act on.

    `facts` name the field, the rule or the digest concerned; they never hold content (prompts,
    targets, answers, keys), because they travel to logs and to the other side.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, message: str, **facts: str) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    @property
    def reason(self) -> str:
        """The published name of this error, e.g. `SEQUENCE_GAP`; part of the protocol."""
        return reason_of(type(self))


class PeerError(SafeconductError):
    """The other side broke the protocol."""


class EvidenceError(SafeconductError):
    """What we were given as evidence does not hold."""


class RefusedError(SafeconductError):
    """Allowed to ask, not allowed to have."""

    exit_code = ExitCode.REFUSED


class SetupError(SafeconductError):
    """This machine, its files or its configuration are not ready for what was asked."""

    exit_code = ExitCode.SETUP


def reason_of(kind: type[SafeconductError]) -> str:
    """Return the published reason of an error class: its name in UPPER_SNAKE."""
    letters = []
    for position, letter in enumerate(kind.__name__):
        if letter.isupper() and position:
            letters.append("_")
        letters.append(letter.upper())
    return "".join(letters)
