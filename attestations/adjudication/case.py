"""A case: the signed bytes someone puts before an adjudicator, and what is claimed about them.

A case is not signed: anyone may make one, leave things out or add forgeries. Only what its documents' own
signatures show can blame anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.digests import Sha256
from attestations.documents.base import Part, validated
from attestations.envelope import Envelope, envelope_from_json
from attestations.errors import MalformedEnvelope, SizeLimitExceeded, UnsupportedVersion

CASE_VERSION = "safeconduct-case/v1"
MAX_CASE_BYTES = 16 << 20
MAX_DOCUMENTS = 4096
MAX_CLAIMS = 256
_FIELDS = {"agreement", "checkpoints", "claims", "documents", "forks", "v"}

Accused = Literal["lab", "auditor"]
Reason = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{2,63}$")]


class Claim(Part):
    """What someone says a party did; of no weight by itself.

    `reason` is a reason of `docs/spec/errors.md`; `about` is the digest of the document it is about.
    """

    against: Accused
    reason: Reason
    about: Sha256 | None = None


class Fork(Part):
    """What shows that checkpoint number `newer` of the case does not begin with checkpoint number `older`.

    `prefix_root` is the root the larger tree had at the smaller size, `proof` its RFC 9162 consistency proof.
    """

    older: int = Field(ge=0)
    newer: int = Field(ge=0)
    prefix_root: Sha256
    proof: tuple[Sha256, ...] = Field(max_length=64)


class _Unsigned(Part):
    checkpoints: tuple[Annotated[str, Field(max_length=16_384)], ...] = Field(max_length=256)
    claims: tuple[Claim, ...] = Field(max_length=MAX_CLAIMS)
    forks: tuple[Fork, ...] = Field(max_length=64)


@dataclass(frozen=True)
class Case:
    """An agreement, documents under it, checkpoints of its log as signed-note text, forks and claims."""

    agreement: Envelope
    documents: Sequence[Envelope] = ()
    checkpoints: Sequence[str] = ()
    forks: Sequence[Fork] = ()
    claims: Sequence[Claim] = ()

    def to_bytes(self) -> bytes:
        """Return the case file's only form."""
        return canonical_bytes(
            {
                "agreement": self.agreement.to_json(),
                "checkpoints": list(self.checkpoints),
                "claims": [claim.json_value() for claim in self.claims],
                "documents": [document.to_json() for document in self.documents],
                "forks": [fork.json_value() for fork in self.forks],
                "v": CASE_VERSION,
            }
        )


def parse_case(data: bytes) -> Case:
    """Read a case file; nothing in it is believed yet.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, UnknownCriticalField: it is not of its form.
        SizeLimitExceeded: more than 16 MiB or 4096 documents.
        UnsupportedVersion: a case of another version.
    """
    value: Any = parse_canonical(data, limit=MAX_CASE_BYTES)
    if isinstance(value, dict) and value.get("v", CASE_VERSION) != CASE_VERSION:
        raise UnsupportedVersion(f"this case is not of version {CASE_VERSION}")
    if not isinstance(value, dict) or value.keys() != _FIELDS or not isinstance(value["documents"], list):
        raise MalformedEnvelope("a case holds exactly agreement, checkpoints, claims, documents, forks and v")
    if len(value["documents"]) > MAX_DOCUMENTS:
        raise SizeLimitExceeded(f"a case holds at most {MAX_DOCUMENTS} documents")
    unsigned = validated(_Unsigned, {name: value[name] for name in _Unsigned.model_fields})
    return Case(
        agreement=envelope_from_json(value["agreement"]),
        documents=tuple(envelope_from_json(item) for item in value["documents"]),
        checkpoints=unsigned.checkpoints,
        forks=unsigned.forks,
        claims=unsigned.claims,
    )
