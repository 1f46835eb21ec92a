"""A file of terms that a lab can name in its settings: a policy, clauses and hints for the scope; not signed itself."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from attestations.documents.agreement import Clauses, Operation, VariantKind
from attestations.documents.base import Name, Part, validated
from attestations.errors import ConfigurationInvalid
from attestations.policy.model import Policy

STANDARD_CLAUSES = Clauses(no_gag=True, safe_harbor=True)


class ScopeHints(Part):
    """What an engagement of this kind usually needs; the lab's settings decide what it grants."""

    operations: tuple[Operation, ...]
    variants: tuple[VariantKind, ...]
    tools: bool
    max_top_logprobs: int = Field(ge=0, le=20)


class TermsFile(Part):
    """Terms to begin from."""

    v: Literal["safeconduct-terms-file/v1"] = "safeconduct-terms-file/v1"
    template: Name | None = None
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    policy: Policy
    clauses: Clauses = STANDARD_CLAUSES
    scope: ScopeHints | None = None

    def to_bytes(self) -> bytes:
        """Return the file's text."""
        return json.dumps(self.json_value(), indent=2, ensure_ascii=False).encode() + b"\n"


def read_terms(data: bytes, name: str) -> TermsFile:
    """Read a file of terms, or a file that holds a policy alone and then goes with the standard clauses.

    Raises:
        ConfigurationInvalid: it is not JSON.
        MalformedEnvelope, UnknownCriticalField: a field is wrong; the message names it.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigurationInvalid(f"{name} is not JSON", field="policy") from None
    if isinstance(value, dict) and value.get("v") == "safeconduct-terms-file/v1":
        return validated(TermsFile, value)
    return TermsFile(policy=validated(Policy, value))
