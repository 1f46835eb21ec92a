"""An in-toto Statement v1: what the attestation is about, and what it says.

Format: https://in-toto.io/Statement/v1. The bytes we sign are canonical JSON; statements of others are read
with unknown fields ignored, as in-toto asks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.claim import Claim
from attestations.documents.base import validated
from attestations.predicate import PREDICATE_TYPE, AuditPredicate

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,128}$")]


class Subject(Claim):
    """One thing the statement is about."""

    name: str = Field(max_length=256)
    digest: dict[str, Hex] = Field(min_length=1, max_length=8)


class Statement(Claim):
    """A statement; its predicate stays plain JSON until its type is known."""

    model_config = ConfigDict(**{**Claim.model_config, "extra": "ignore"})

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1, max_length=256)
    predicate_type: str = Field(max_length=512)
    predicate: Any


def build_statement(subject: tuple[Subject, ...], predicate: AuditPredicate) -> bytes:
    """Return the bytes of an `ai-audit` statement."""
    return canonical_bytes(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": item.name, "digest": dict(item.digest)} for item in subject],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate.model_dump(mode="json", by_alias=True),
        }
    )


def parse_statement(payload: bytes) -> Statement:
    """Read a statement from bytes that were verified.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
    """
    return validated(Statement, parse_canonical(payload))
