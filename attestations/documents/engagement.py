"""The signed documents around the exchanges: runtime, sessions, registration, grades, close, disclosure, index."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from attestations.digests import Sha256
from attestations.documents.base import Base64, Count, Document, Name, Part, Time, is_none
from attestations.documents.drawing import DrawRule
from attestations.documents.exchange import Meter
from attestations.policy.model import Recipient
from attestations.scaffolds.method import MAX_ARMS

ContentClass = Literal["C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10"]
Stage = Literal["S0", "S1", "S2", "S3", "S4", "S5"]


class RuntimeStatement(Document):
    """What runs behind the gateway, and which keys it holds. Signed by the lab's record key.

    At level RA0 this is the lab's word and nothing more. `report` holds the evidence of a higher level
    and `report_format` names the verifier it needs.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.runtime.v1+json"

    agreement: Sha256
    level: Literal["RA0", "RA1", "RA2", "RA3", "RA4"]
    boot: Name
    image: Sha256
    backend: Name
    hpke_public: Base64
    worker_public: Base64
    nonce: Sha256
    retention: Literal["none_after_session"] = "none_after_session"
    training: Literal["never"] = "never"
    report_format: Name | None = None
    report: Base64 | None = None
    issued_at: Time


class SessionOpen(Document):
    """Opens one strictly sequential lane of exchanges. Signed by the auditor's exchange key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.session-open.v1+json"

    agreement: Sha256
    session: Name
    nonce: Sha256
    auditor_tls: Sha256
    opened_at: Time


class SessionGrant(Document):
    """The lab's consent to a session; its digest is `prev` of the first Intent. Signed by the record key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.session-grant.v1+json"

    agreement: Sha256
    session: Name
    open: Sha256
    log_index: Count
    granted_at: Time


class LogReceipt(Document):
    """The lab's proof that it put a document into the log at one place and time. Signed by the record key.

    The receipt of a registration with a draw commits to the lab's share; the receipt of the draw shows it.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.log-receipt.v1+json"

    agreement: Sha256
    kind: Name
    document: Sha256
    log_index: Count
    logged_at: Time
    share_commit: Sha256 | None = Field(default=None, exclude_if=is_none)
    share: Base64 | None = Field(default=None, exclude_if=is_none)


class RegisteredSuite(Part):
    """A suite as the public sees it before any release: an opaque name, a root and a padded number of tasks."""

    id: Name
    root: Sha256
    tasks: int = Field(ge=1, le=1_048_576)


class RegisteredGrader(Part):
    """A grader, fixed before access."""

    name: Name
    version: Name
    digest: Sha256


class ClassKeyCommitment(Part):
    """Binds the 32-byte key whose release opens one class."""

    content_class: ContentClass
    commitment: Sha256


class RegisteredArm(Part):
    """An arm as everybody may know it: how often it asks each task, and which variant.

    A variant of None is bound when TEST begins: it is fine-tuned on DEV first.
    """

    id: Name
    epochs: int = Field(ge=1, le=1000)
    variant: Name | None


class PreRegistration(Document):
    """What the auditor fixed before the first Promise; leaf 0 of the log. Signed by the auditor's publication key.

    With `conduct`, DEV tasks are asked first, and TEST begins at a `RunStart`.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.pre-registration.v1+json"

    agreement: Sha256
    suite: RegisteredSuite
    class_keys: tuple[ClassKeyCommitment, ...]
    plan: Sha256
    graders: tuple[RegisteredGrader, ...]
    arms: tuple[Name, ...] = Field(min_length=1, max_length=MAX_ARMS)
    epochs: int = Field(ge=1, le=1000)
    max_attempts: int = Field(ge=1, le=100)
    draw: DrawRule | None = Field(default=None, exclude_if=is_none)
    conduct: tuple[RegisteredArm, ...] | None = Field(default=None, exclude_if=is_none)
    registered_at: Time

    @model_validator(mode="after")
    def _arms_once(self) -> PreRegistration:
        if self.conduct is not None and tuple(arm.id for arm in self.conduct) != self.arms:
            raise ValueError("what is registered of the arms is of other arms")
        return self

    def epochs_of(self, arm: str) -> int:
        """Return how often an arm asks each task."""
        return next((item.epochs for item in self.conduct or () if item.id == arm), self.epochs)


class GradeCommitment(Document):
    """Fixes every grade before anything is opened. Signed by the auditor's publication key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.grades.v1+json"

    agreement: Sha256
    root: Sha256
    tasks: int = Field(ge=1)
    committed_at: Time


class StatusCounts(Part):
    """How the Promises ended, and how many Intents were refused."""

    promised: Count
    completed: Count
    refused_policy: Count
    error: Count
    timeout: Count
    cancelled: Count
    aborted_crash: Count
    refusals: Count


class SessionEnd(Part):
    """A session and the sequence number it would have used next."""

    session: Name
    next_seq: int = Field(ge=0)


class CloseStatement(Document):
    """What both sides say took place. Signed by the lab's record key and the auditor's exchange key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.close.v1+json"

    agreement: Sha256
    sessions: tuple[SessionEnd, ...]
    tree_size: Count
    root: Sha256
    counts: StatusCounts
    meter: Meter
    open_disputes: tuple[Name, ...] = ()
    closed_at: Time


class Package(Part):
    """One sealed package: all chunks of one class, each under its own key."""

    content_class: ContentClass
    chunks: int = Field(ge=1)
    ciphertext_root: Sha256
    key_root: Sha256
    key_commitment: Sha256
    file_bytes: Count
    file_digest: Sha256


class PackageManifest(Document):
    """Describes every sealed package before any result is known. Signed by the auditor's publication key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.package-manifest.v1+json"

    agreement: Sha256
    packages: tuple[Package, ...] = Field(min_length=1, max_length=16)
    sealed_at: Time


class DeliveryReceipt(Document):
    """The lab holds the sealed packages and their bytes match the manifest. Signed by the lab's record key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.delivery-receipt.v1+json"

    agreement: Sha256
    manifest: Sha256
    delivered_at: Time


class PolicyEvent(Document):
    """A statement the disclosure policy waits for, e.g. a consent. Signed by its party's agreement key.

    `reason` is read by everybody who gets the log; `evidence` is the digest of what it rests on.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.policy-event.v1+json"

    agreement: Sha256
    event: Name
    argument: Name | None
    reason: str | None = Field(default=None, max_length=1000)
    evidence: Sha256 | None = None
    stated_at: Time


Tlp = Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
"""A label of TLP 2.0, loosest first."""


class ReleasedView(Part):
    """What a release opens field by field: the digest of its lines, and how many are open and closed."""

    digest: Sha256
    opened: int = Field(ge=0)
    closed: int = Field(ge=0)


class Release(Document):
    """The auditor releases one class to one recipient. Signed by the auditor's publication key.

    `after` is a checkpoint of the log with its cosignatures (signed-note text): the release was made no
    earlier than the latest of their times. With a `view` single fields are opened and the class key stays closed.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.release.v1+json"

    agreement: Sha256
    stage: Stage
    content_class: ContentClass
    recipient: Recipient
    manifest: Sha256 | None
    key_commitment: Sha256 | None
    view: ReleasedView | None = None
    tlp: Tlp | None = None
    after: str = Field(max_length=8192)
    released_at: Time


class EvidenceMember(Part):
    """One file of an evidence file."""

    name: Name
    bytes: Count
    digest: Sha256


class EvidenceIndex(Document):
    """Lists every other member of an evidence file. Signed by the auditor's publication key.

    `tlp` is the label of the whole file; `classes`, where it is there, are the only ones of the stage it shows.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.evidence-index.v1+json"

    agreement: Sha256
    stage: Stage
    recipient: Recipient
    classes: tuple[ContentClass, ...] | None = Field(default=None, max_length=11)
    tlp: Tlp | None = None
    attestation: Sha256
    members: tuple[EvidenceMember, ...] = Field(min_length=1, max_length=64)
    issued_at: Time


class Acknowledgement(Document):
    """The lab acknowledges the transcript facts of an attestation, not its conclusions. Signed by the agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.acknowledgement.v1+json"

    agreement: Sha256
    attestation: Sha256
    acknowledged_at: Time
