"""Errors about identity-based signatures and the services that make them."""

from __future__ import annotations

from attestations.errors.base import EvidenceError, ExitCode, RefusedError, SetupError


class KeylessSignatureInvalid(EvidenceError):
    """An identity-based signature does not hold under the trust configuration it was checked with."""

    exit_code = ExitCode.SIGNATURE_INVALID


class KeylessIdentityMismatch(EvidenceError):
    """An identity-based signature is by another identity, or vouched for by another issuer, than was expected."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class IdentityTokenUnusable(SetupError):
    """The identity token is missing, malformed, expired or meant for something else."""


class IdentityTokenRefused(RefusedError):
    """The certificate authority does not certify the identity in the token."""


class SigningServiceFailed(SetupError):
    """A signing service did not answer in time, or not usefully; the message says whether a log entry may exist."""

    exit_code = ExitCode.UNREACHABLE
