"""The signed documents of escrow: what the auditor puts there, and what holders say about the shares they hold.

`docs/spec/escrow.md` is the normative page.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from attestations.commitments import ContentClass
from attestations.digests import Sha256
from attestations.documents.base import Base64, Count, Document, Name, Part, Time
from attestations.escrow.structure import Ground
from attestations.policy.model import Recipient

Point = Annotated[str, StringConstraints(pattern=r"^0[23][0-9a-f]{64}$")]
"""A public point of P-256, compressed, as hex."""

Box = Annotated[Base64, StringConstraints(max_length=2048)]
"""A share sealed to one party's `receive` key."""

Scalar = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A share in the open, as hex."""

_Index = Annotated[int, Field(ge=0, le=16)]


class SealedShare(Part):
    """One share, sealed to its holder."""

    holder: Name
    box: Box


class SharedGroup(Part):
    """The sharing of one group: as many commitments as holders are needed, and a share for each holder, from 1 on."""

    commitments: tuple[Point, ...] = Field(min_length=1, max_length=16)
    shares: tuple[SealedShare, ...] = Field(min_length=1, max_length=16)


class SharedBranch(Part):
    """One branch: the class key wrapped under what the groups' secrets give together, and their sharings."""

    id: Name
    wrapped: Annotated[Base64, StringConstraints(max_length=128)]
    groups: tuple[SharedGroup, ...] = Field(min_length=1, max_length=4)


class EscrowManifest(Document):
    """Puts the key of one class in escrow; a leaf of the log. Signed by the auditor's publication key.

    A resharing names the manifest it supersedes and the holders it goes `without`.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.escrow-manifest.v1+json"

    agreement: Sha256
    content_class: ContentClass
    key_commitment: Sha256
    branches: tuple[SharedBranch, ...] = Field(min_length=1, max_length=4)
    without: tuple[Name, ...] = Field(default=(), max_length=16)
    supersedes: Sha256 | None = None
    made_at: Time


class HeldShare(Part):
    """Where a share stands, and a signature made with the share itself: whoever made it knows it."""

    branch: Name
    group: _Index
    share: _Index
    proof: Annotated[Base64, StringConstraints(max_length=128)]


class HeldClass(Part):
    """Every share a holder has of one class."""

    manifest: Sha256
    content_class: ContentClass
    shares: tuple[HeldShare, ...] = Field(min_length=1, max_length=16)


class EscrowVerified(Document):
    """A holder has opened its shares and they fit the commitments. Signed by the holder's agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.escrow-verified.v1+json"

    agreement: Sha256
    holder: Name
    classes: tuple[HeldClass, ...] = Field(min_length=1, max_length=8)
    verified_at: Time


class LivenessChallenge(Document):
    """Asks a holder whether it still holds its shares. Signed by the agreement key of the party `by`."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.liveness-challenge.v1+json"

    agreement: Sha256
    by: Name
    holder: Name
    nonce: Sha256
    asked_at: Time
    answer_by: Time


class LivenessAnswer(Document):
    """A holder proves that it still holds its shares. Signed by the holder's agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.liveness-answer.v1+json"

    agreement: Sha256
    holder: Name
    challenge: Sha256
    classes: tuple[HeldClass, ...] = Field(min_length=1, max_length=8)
    answered_at: Time


class HandedShare(Part):
    """A share on its way to one recipient, sealed to it, or open where the recipient is the public."""

    branch: Name
    group: _Index
    share: _Index
    to: Name | None
    box: Box | None
    open: Scalar | None = Field(default=None, repr=False)


class ShareRelease(Document):
    """A holder releases its shares of one class, and says why. Signed by the holder's agreement key.

    `evidence` is the SHA-256 of the evidence file it rests on; `tree_size` and `root` are its log's.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.share-release.v1+json"

    agreement: Sha256
    manifest: Sha256
    content_class: ContentClass
    holder: Name
    recipient: Recipient
    ground: Ground
    rule: Name
    order: Sha256 | None = None
    evidence: Sha256
    tree_size: Count
    root: Sha256
    shares: tuple[HandedShare, ...] = Field(min_length=1, max_length=64)
    released_at: Time
