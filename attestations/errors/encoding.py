"""Errors about bytes, signatures and keys."""

from __future__ import annotations

from attestations.errors.base import EvidenceError, ExitCode, PeerError


class MalformedEnvelope(EvidenceError):
    """The bytes are not what the format says they must be."""

    exit_code = ExitCode.MALFORMED


class NonCanonicalDocument(EvidenceError):
    """The document is not in its one canonical form (RFC 8785, no floats, no large integers)."""

    exit_code = ExitCode.MALFORMED


class DuplicateKey(EvidenceError):
    """A JSON object names one key twice."""

    exit_code = ExitCode.MALFORMED


class UnknownCriticalField(EvidenceError):
    """A signed document holds a field this version does not know."""

    exit_code = ExitCode.MALFORMED


class PayloadTypeMismatch(EvidenceError):
    """The envelope holds another kind of document than its place requires."""

    exit_code = ExitCode.MALFORMED


class SizeLimitExceeded(EvidenceError):
    """The bytes are larger, deeper or more numerous than the format allows."""

    exit_code = ExitCode.MALFORMED


class UnsupportedVersion(EvidenceError):
    """The document is of a protocol version this software does not speak."""

    exit_code = ExitCode.UNSUPPORTED_VERSION


class SignatureInvalid(EvidenceError):
    """A signature does not hold over the exact bytes it came with."""

    exit_code = ExitCode.SIGNATURE_INVALID


class SignerRoleMismatch(EvidenceError):
    """The signature is by a key that is not allowed to sign this kind of document."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class MissingRoleSignature(EvidenceError):
    """A party whose signature is required has not signed."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class UntrustedParty(EvidenceError):
    """A party or key is not in the trust file."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class KeyNotValidAtTime(EvidenceError):
    """The key was not valid when it signed."""

    exit_code = ExitCode.KEY_INVALID_AT_TIME


class KeyRevoked(EvidenceError):
    """The key had been revoked when it signed."""

    exit_code = ExitCode.KEY_INVALID_AT_TIME


class KeyUnacceptable(EvidenceError):
    """The public key is malformed, of small order or of the wrong kind."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class PeerBindingMismatch(PeerError):
    """The TLS peer is not the one whose key the agreement pins."""

    exit_code = ExitCode.ROLE_OR_TRUST_MISSING


class ReplayDetected(PeerError):
    """A message that may be used once was sent again in another place."""

    exit_code = ExitCode.EQUIVOCATION_OR_ROLLBACK
