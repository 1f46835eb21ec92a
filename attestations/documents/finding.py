"""Findings for remediation (C4): a signed flaw report for those who can mend it, and its notice in the log.

The notice shows everybody who gets the log that a finding of this name went to these recipients, and nothing of what
it says: `report` is a digest over a salt. `docs/spec/findings.md` is the normative page. What a report holds follows
the standardised AI flaw report of Longpre et al. 2025 (arXiv:2503.16861), where the agreement does not say it already.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from attestations.digests import Sha256
from attestations.documents.base import Base64, Document, Hidden, Name, Time, decode
from attestations.policy.model import Recipient

CONTENT_CLASS = "C4"
SALT_BYTES = 32
MAX_WRITTEN_BYTES = 100_000  # of what a person writes; escapes and base64 make up to eight times as much of it
MAX_REPORT_BYTES = 1 << 20
FlawSeverity = Literal["low", "medium", "high", "critical"]


def _salt(text: str) -> str:
    if len(decode(text)) != SALT_BYTES:
        raise ValueError("not 32 bytes")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(max_length=20_000)]


class FindingNotice(Document):
    """The auditor gave a flaw report to recipients, or says that it has none for them. Signed by the publication key.

    `report` is the digest of the signed report; None says that there is nothing to report.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.finding-notice.v1+json"

    agreement: Sha256
    id: Name
    to: tuple[Recipient, ...] = Field(min_length=1, max_length=16)
    report: Sha256 | None = None
    stated_at: Time


class FlawReport(Hidden, Document):
    """What was found, for those who can mend it. Signed by the auditor's publication key; never in the log.

    `tasks` are items of the suite that show it; their texts are not part of it. `salt` is 32 random bytes, base64.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.flaw-report.v1+json"

    agreement: Sha256
    id: Name
    variant: Name
    title: Line
    severity: FlawSeverity
    description: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    impact: Text | None = None
    prevalence: Text | None = None
    reproduction: Text | None = None
    mitigation: Text | None = None
    tasks: tuple[Annotated[int, Field(ge=0, le=1_048_575)], ...] = Field(default=(), max_length=256)
    found_at: Time
    salt: Annotated[Base64, AfterValidator(_salt)]
