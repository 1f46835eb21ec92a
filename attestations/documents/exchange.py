"""The signed messages of one exchange: Intent, Promise, Record, and the refusal that may stand in their place.

`docs/spec/exchange.md` is the normative page. Nothing here holds a prompt or an answer, only
salted commitments to them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from attestations.digests import Sha256, sha256
from attestations.documents.agreement import HOOKS, Operation
from attestations.documents.base import Base64, Count, Document, Name, Part, Time, is_none
from attestations.documents.dialogue import Sampling
from attestations.documents.hooks import HookStatement

MAX_SEALED_BYTES = 1 << 20  # padded prompt and HPKE overhead
MAX_HOOK_SEALED_BYTES = 3 << 20  # the same for what is asked of a hook; gRPC's own limit is 4 MiB

Status = Literal["COMPLETED", "REFUSED_POLICY", "ERROR", "TIMEOUT", "CANCELLED_BY_AUDITOR", "ABORTED_CRASH"]


class TokenBudget(Part):
    """The most tokens this exchange may use; the worker stops at it."""

    input_tokens: int = Field(ge=0, le=16_777_216)
    output_tokens: int = Field(ge=0, le=16_777_216)


class Intent(Document):
    """The auditor's commitment to one request, before the lab can read it. Signed by the auditor's exchange key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.intent.v1+json"

    agreement: Sha256
    session: Name
    seq: int = Field(ge=0, le=2**53 - 1)
    prev: Sha256
    sealed_digest: Sha256
    sealed_bytes: int = Field(ge=1, le=MAX_HOOK_SEALED_BYTES)
    plaintext_commit: Sha256
    handle: Sha256
    variant: Name
    template: Sha256
    operation: Operation
    tools: bool = False
    sampling: Sampling
    seed_commit: Sha256
    worker_key: Sha256
    evidence: Sha256
    budget_max: TokenBudget
    not_after: Time

    @model_validator(mode="after")
    def _no_larger_than_its_kind(self) -> Intent:
        if self.sealed_bytes > sealed_limit(self.operation):
            raise ValueError("a sealed request larger than its operation allows")
        return self


class Quota(Part):
    """What the agreement still allows after this Promise."""

    requests: Count
    input_tokens: Count
    output_tokens: Count


class Promise(Document):
    """The lab's word, before it can read the request, that a Record will follow. Signed by the record key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.promise.v1+json"

    agreement: Sha256
    session: Name
    seq: int = Field(ge=0, le=2**53 - 1)
    intent: Sha256
    log_index: Count
    promised_at: Time
    reveal_by: Time
    respond_by: Time
    manifest: Sha256
    variant: Sha256
    evidence: Sha256
    quota_left: Quota


class Usage(Part):
    """Tokens of one exchange as the model counted them; cached ones are input, reasoning ones are output."""

    input_tokens: int = Field(ge=0)
    cached_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    reasoning_tokens: int = Field(ge=0)


class Meter(Part):
    """The engagement's running totals."""

    requests: Count = "0"
    input_tokens: Count = "0"
    output_tokens: Count = "0"


class Response(Part):
    """What binds the answer: the Merkle root of its sealed frames and the salted commitment to its content."""

    frames: int = Field(ge=1)
    frames_root: Sha256
    commitment: Sha256
    worker_signature: Base64


class Router(Part):
    """Whether another model than the one asked for took part."""

    used: bool
    served: Name | None = None


class SafetyLayer(Part):
    """What filters outside the model did to input and output."""

    input: Literal["none", "passed", "changed", "blocked"]
    output: Literal["none", "passed", "changed", "blocked"]


class Record(Document):
    """The one terminal statement about a Promise. Signed by the lab's record key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.record.v1+json"

    agreement: Sha256
    session: Name
    seq: int = Field(ge=0, le=2**53 - 1)
    promise: Sha256
    log_index: Count
    status: Status
    code: Name | None = None
    response: Response | None = None
    finish_reason: Literal["stop", "length", "tool_calls", "filtered"] | None = None
    usage: Usage
    meter_before: Meter
    meter_after: Meter
    started_at: Time
    finished_at: Time
    decode_config: Sha256 | None = None
    manifest: Sha256
    variant: Sha256
    fingerprint: Name | None = None
    router: Router = Router(used=False)
    safety_layer: SafetyLayer = SafetyLayer(input="none", output="none")
    worker: Name
    redeliver_until: Time
    hook: HookStatement | None = Field(default=None, exclude_if=is_none)

    @model_validator(mode="after")
    def _answer_only_when_completed(self) -> Record:
        if (self.status == "COMPLETED") != (self.response is not None):
            raise ValueError("exactly a COMPLETED record holds a response")
        if (self.status == "COMPLETED") != (self.finish_reason is not None):
            raise ValueError("exactly a COMPLETED record holds a finish reason")
        return self


class Cancel(Document):
    """The auditor withdraws a promised request. Signed by the auditor's exchange key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.cancel.v1+json"

    agreement: Sha256
    session: Name
    seq: int = Field(ge=0, le=2**53 - 1)
    promise: Sha256


class Refusal(Document):
    """The lab's reason for not promising; it takes the Intent's place. Signed by the record key.

    `why` is the lab's own words for declining a hook.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.refusal.v1+json"

    agreement: Sha256
    session: Name
    seq: int = Field(ge=0, le=2**53 - 1)
    intent: Sha256
    log_index: Count
    reason: Name
    rule: Name | None = None
    why: str | None = Field(default=None, min_length=1, max_length=500, exclude_if=is_none)
    refused_at: Time


def sealed_limit(operation: str) -> int:
    """Return how many bytes a sealed request of `operation` may have."""
    return MAX_HOOK_SEALED_BYTES if operation in HOOKS else MAX_SEALED_BYTES


def seed_commitment(seed_share: bytes) -> str:
    """Return the commitment to a 32-byte seed share."""
    return sha256(b"safeconduct/v1 seed share\0" + seed_share)


def derive_seed(seed_share: bytes, promise: bytes) -> int:
    """Return the 64-bit sampling seed: neither side can choose it, the lab cannot know it before it is bound.

    Args:
        seed_share: the auditor's 32 bytes, committed to in the Intent.
        promise: the exact payload bytes of the signed Promise.
    """
    return int(sha256(b"safeconduct/v1 seed" + seed_share + bytes.fromhex(sha256(promise)))[:16], 16)
