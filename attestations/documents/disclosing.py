"""The signed statements around disclosure that are no releases: orders, emergencies, verdicts, pleas, aborts.

Each stands in the log as a leaf of kind `statement`. A text in one of them is read by everybody who gets the log:
it never holds content. `docs/spec/disclosure.md` is the normative page.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from attestations.digests import Sha256
from attestations.documents.base import Document, Name, Part, Time
from attestations.documents.engagement import ContentClass
from attestations.policy.model import Recipient

Plain = Annotated[str, StringConstraints(max_length=1000)]
Severity = Literal["critical_infrastructure", "cyber_breach", "death", "other"]
ReasonCode = Literal["HAZARD", "LAB_CONFIDENTIAL", "LEGAL", "NOT_IN_SCOPE", "PERSONAL_DATA", "REUSE", "SECURITY"]
MAX_EMERGENCY_ITEMS = 64


class Order(Document):
    """A regulator orders classes released to recipients. Signed by its agreement key.

    It counts for nothing unless it stands in the log before `expires_at`; what it then permits stays permitted.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.order.v1+json"

    agreement: Sha256
    id: Name
    legal_basis: Plain
    classes: tuple[ContentClass, ...] = Field(min_length=1, max_length=11)
    to: tuple[Recipient, ...] = Field(min_length=1, max_length=16)
    issued_at: Time
    expires_at: Time


class EmergencyItem(Part):
    """One task, or one transcript, of one class."""

    content_class: ContentClass
    i: int = Field(ge=0, le=1_048_575)


class EmergencyNotice(Document):
    """Somebody saw something that cannot wait. Signed by the agreement key of whoever says so.

    To LAB_SAFETY and REGULATOR one signature is enough, always. To CLEARED or PEER_AUDITOR auditor and regulator
    both sign, name the few items meant, and it expires. `content` is the digest of what is handed over with it.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.emergency.v1+json"

    agreement: Sha256
    id: Name
    severity: Severity
    to: tuple[Recipient, ...] = Field(min_length=1, max_length=16)
    items: tuple[EmergencyItem, ...] = Field(default=(), max_length=MAX_EMERGENCY_ITEMS)
    content: Sha256 | None = None
    stated_at: Time
    expires_at: Time | None = None


class Redaction(Document):
    """Lab or regulator wants fields kept closed that are theirs to close. Signed by its agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.redaction.v1+json"

    agreement: Sha256
    content_class: ContentClass
    paths: tuple[Name, ...] = Field(min_length=1, max_length=256)
    reason: ReasonCode
    stated_at: Time


class Verdict(Document):
    """A recipient says whether what it got holds. Signed by its agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.verdict.v1+json"

    agreement: Sha256
    release: Sha256
    holds: bool
    exit_code: int = Field(ge=0, le=255)
    stated_at: Time


class RecallRequest(Document):
    """A plea to stop passing on what was released; it changes nothing. Signed by its party's agreement key.

    `release` is the digest of the release it is about.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.recall-request.v1+json"

    agreement: Sha256
    release: Sha256
    reason: Plain
    stated_at: Time


class Correction(Document):
    """The auditor corrects a signed document; both stay in force as what was said. Signed by the publication key.

    `corrects` is the digest of a release, an attestation or an earlier correction; `by` that of what replaces it.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.correction.v1+json"

    agreement: Sha256
    corrects: Sha256
    by: Sha256 | None = None
    text: Plain
    stated_at: Time


class Abort(Document):
    """The auditor gives up; existence, commitments and close stay owed. Signed by the publication key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.abort.v1+json"

    agreement: Sha256
    reason: Plain
    stated_at: Time
