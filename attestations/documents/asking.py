"""What one exchange may carry: a request to a model or to a hook and its answer, sealed and committed to."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, ClassVar, TypeAlias

from pydantic import Field

from attestations.canonical import MAX_DOCUMENT_BYTES, parse_canonical
from attestations.digests import sha256
from attestations.documents.agreement import HOOKS
from attestations.documents.base import VERSION, Base64, Document, Hidden
from attestations.documents.dialogue import (
    ChatRequest,
    ChatResult,
    CountRequest,
    CountResult,
    ScoreRequest,
    ScoreResult,
)
from attestations.documents.finetuning import FineTuneRequest, FineTuneResult
from attestations.documents.sandboxing import SandboxRequest, SandboxResult
from attestations.errors import MalformedEnvelope, WeakSalt

SALT_BYTES = 32
MAX_HOOK_DOCUMENT_BYTES = 3 << 20  # demonstrations and bundles are larger than prompts

# A further hook adds its request, its result and its line in `_RESULTS`, and nothing else here.
AnyRequest: TypeAlias = ChatRequest | ScoreRequest | CountRequest | SandboxRequest | FineTuneRequest
AnyResult: TypeAlias = ChatResult | ScoreResult | CountResult | SandboxResult | FineTuneResult
OneRequest = Annotated[AnyRequest, Field(discriminator="operation")]
OneResult = Annotated[AnyResult, Field(discriminator="operation")]
_RESULTS: dict[str, type[AnyResult]] = {
    "chat": ChatResult,
    "score": ScoreResult,
    "count": CountResult,
    "sandbox": SandboxResult,
    "fine_tune": FineTuneResult,
}


class SealedRequest(Hidden, Document):
    """What HPKE seals for the worker: the request, the key for the answer and the commitment's salt."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.sealed-request.v1+json"

    request: OneRequest
    response_key: Base64
    salt: Base64


def sealed_bytes(request: bytes, *, response_key: bytes, salt: bytes) -> bytes:
    """Return what `SealedRequest.to_bytes` would, from a request that is already in its one form."""
    named = (
        (b"responseKey", base64.b64encode(response_key)),
        (b"salt", base64.b64encode(salt)),
        (b"v", VERSION.encode()),
    )
    return b'{"request":' + request + b"".join(b',"%s":"%s"' % pair for pair in named) + b"}"


def parse_sealed(data: bytes, operation: str) -> SealedRequest:
    """Read what was sealed for a request of `operation`.

    Raises:
        SizeLimitExceeded, NonCanonicalDocument, UnsupportedVersion, UnknownCriticalField, MalformedEnvelope.
    """
    return SealedRequest.parse(data, limit=document_limit(operation))


def parse_result(data: bytes, operation: str) -> AnyResult:
    """Read the answer to a request of `operation`.

    Raises:
        SizeLimitExceeded, NonCanonicalDocument, UnsupportedVersion, UnknownCriticalField, MalformedEnvelope.
    """
    kind = _RESULTS.get(operation)
    if kind is None:
        raise MalformedEnvelope("an answer of an unknown kind")
    return kind.parse(data, limit=document_limit(operation))


def read_result(data: bytes) -> AnyResult:
    """Read an answer whose operation is not known otherwise.

    Raises:
        SizeLimitExceeded, NonCanonicalDocument, UnsupportedVersion, UnknownCriticalField, MalformedEnvelope.
    """
    value = parse_canonical(data, limit=MAX_HOOK_DOCUMENT_BYTES)
    operation = str(value.get("operation")) if isinstance(value, dict) else ""
    kind = _RESULTS.get(operation)
    if kind is None or len(data) > document_limit(operation):
        return parse_result(data, operation)  # which says what is wrong
    return kind.read(data, value)


def document_limit(operation: str) -> int:
    """Return how many bytes a request or an answer may have."""
    return MAX_HOOK_DOCUMENT_BYTES if operation in HOOKS else MAX_DOCUMENT_BYTES


def request_commitment(request: AnyRequest | bytes, salt: bytes) -> str:
    """Return the commitment to a request (or to its bytes in their one form) that its Intent carries.

    Raises:
        WeakSalt: the salt is not 32 bytes.
    """
    return _commitment(b"safeconduct/v1 request\0", salt, request)


def result_commitment(result: AnyResult | bytes, salt: bytes) -> str:
    """Return the commitment to an answer (or to its bytes in their one form) that its Record carries.

    Raises:
        WeakSalt: the salt is not 32 bytes.
    """
    return _commitment(b"safeconduct/v1 response\0", salt, result)


def _commitment(label: bytes, salt: bytes, content: AnyRequest | AnyResult | bytes) -> str:
    if len(salt) != SALT_BYTES:
        raise WeakSalt("a salt that is not 32 bytes")
    data = content if isinstance(content, bytes) else content.to_bytes()
    return sha256(label + salt + hashlib.sha256(data).digest())
