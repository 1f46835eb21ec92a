"""The file a quorum makes, `escrow-release-C2.json`: what each holder signed, the shares that were used, and the key.

It is not signed as a whole: every part of it is checked against the log's commitments by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.commitments import ContentClass
from attestations.documents.agreement import Agreement
from attestations.documents.base import Name, Part, validated
from attestations.documents.escrow import Scalar, ShareRelease
from attestations.envelope import Envelope, envelope_from_json
from attestations.errors import EscrowQuorumUnmet, EscrowShareInvalid, KeyCommitmentMismatch, MalformedEnvelope
from attestations.escrow.binding import Place
from attestations.escrow.combining import Combined, Gathered, open_release, purpose, recover
from attestations.escrow.holding import LoggedManifest
from attestations.escrow.sharing import check_share, parse_scalar, scalar_bytes

MAX_RELEASE_BYTES = 1 << 20
_FIELDS = {"class", "key", "releases", "shares", "v"}
_VERSION = "safeconduct-escrow-release/v1"


class UsedShare(Part):
    """A share that was used, in the open."""

    branch: Name
    group: Annotated[int, Field(ge=0, le=16)]
    share: Annotated[int, Field(ge=0, le=16)]
    scalar: Scalar = Field(repr=False)


class _Head(Part):
    v: Literal["safeconduct-escrow-release/v1"]
    content_class: ContentClass
    key: Scalar = Field(repr=False)
    shares: tuple[UsedShare, ...] = Field(min_length=1, max_length=64, repr=False)


@dataclass(frozen=True)
class EscrowRelease:
    """The file's parts; none is true until `check_escrow_release` has checked it."""

    content_class: str
    key: str = field(repr=False)
    releases: tuple[Envelope, ...]
    shares: tuple[UsedShare, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        return canonical_bytes(
            {
                "v": _VERSION,
                "class": self.content_class,
                "key": self.key,
                "releases": [envelope.to_json() for envelope in self.releases],
                "shares": [share.json_value() for share in self.shares],
            }
        )


@dataclass(frozen=True)
class Opened:
    """What a checked release opens: the combined key, for whom and why, and the statements it rests on."""

    combined: Combined
    statements: tuple[ShareRelease, ...]

    @property
    def recipient(self) -> str:
        """For whom the holders released."""
        return self.statements[0].recipient


def make_escrow_release(combined: Combined, releases: Sequence[Envelope]) -> EscrowRelease:
    """Return the file of a combination; `releases` are the statements of the holders whose shares were used."""
    return EscrowRelease(
        content_class=combined.key.cls,
        key=combined.key.secret.hex(),
        releases=tuple(releases),
        shares=tuple(
            UsedShare(branch=place.branch, group=place.group, share=place.share, scalar=scalar_bytes(scalar).hex())
            for place, scalar in sorted(combined.shares.items())
        ),
    )


def parse_escrow_release(data: bytes) -> EscrowRelease:
    """Read the file.

    Raises:
        MalformedEnvelope, NonCanonicalDocument, DuplicateKey, SizeLimitExceeded: it is not one.
    """
    value = parse_canonical(data, limit=MAX_RELEASE_BYTES)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise MalformedEnvelope("an escrow release does not hold exactly its fields")
    releases = value["releases"]
    if not isinstance(releases, list) or not 1 <= len(releases) <= 64:  # noqa: PLR2004 - more than any quorum
        raise MalformedEnvelope("an escrow release holds 1 to 64 statements of holders")
    head = validated(
        _Head, {"v": value["v"], "contentClass": value["class"], "key": value["key"], "shares": value["shares"]}
    )
    return EscrowRelease(
        head.content_class, head.key, tuple(envelope_from_json(item) for item in releases), head.shares
    )


def check_escrow_release(
    release: EscrowRelease, agreement: Agreement, manifest: LoggedManifest, *, suite_id: str
) -> Opened:
    """Check every statement, every share and the key.

    Raises:
        EscrowShareInvalid: a share is not the committed one, or its holder has not released it.
        EscrowQuorumUnmet: the statements are for different purposes, or too few.
        KeyCommitmentMismatch: the key does not follow from the shares, or is not the registered one.
        SignatureInvalid, AttributionFailed, MalformedEnvelope: a statement is not one.
    """
    statements = tuple(open_release(envelope, agreement, manifest) for envelope in release.releases)
    if len({purpose(statement) for statement in statements}) != 1 or statements[0].content_class != (
        release.content_class
    ):
        raise EscrowQuorumUnmet("the holders released for different purposes", content_class=release.content_class)
    handed = {
        Place(share.branch, share.group, share.share): statement.holder
        for statement in statements
        for share in statement.shares
    }
    groups = {branch.id: branch.groups for branch in manifest.document.branches}
    gathered = Gathered()
    for share in release.shares:
        place = Place(share.branch, share.group, share.share)
        holder = handed.get(place)
        if holder is None:
            raise EscrowShareInvalid("a share is used that its holder has not released", branch=place.branch[:64])
        scalar = parse_scalar(bytes.fromhex(share.scalar))
        check_share(groups[place.branch][place.group].commitments, place.share, scalar, holder=holder)
        gathered.shares[place] = scalar
    combined = recover(gathered, manifest, suite_id=suite_id)
    if combined.key.secret.hex() != release.key:
        raise KeyCommitmentMismatch(
            "the key of an escrow release does not follow from its shares", content_class=release.content_class
        )
    used = {handed[place] for place in combined.shares}
    return Opened(combined, tuple(item for item in statements if item.holder in used))
