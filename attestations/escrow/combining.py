"""A quorum's released shares become the class key again, or the fault is named: whose share, or the dealer's wrap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from attestations.commitments import ClassKey
from attestations.documents.agreement import Agreement
from attestations.documents.base import decode
from attestations.documents.escrow import EscrowManifest, HandedShare, SharedBranch, ShareRelease
from attestations.envelope import Envelope, open_document
from attestations.errors import (
    AttributionFailed,
    EscrowQuorumUnmet,
    EscrowShareInvalid,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    SealedOpenFailed,
)
from attestations.escrow.binding import Place, release_info, unwrap
from attestations.escrow.dealing import holder_of
from attestations.escrow.holding import LoggedManifest, places
from attestations.escrow.sharing import check_share, combine, parse_scalar
from attestations.keys import KeyUse
from attestations.sealing import WorkerKey, open_from

Purpose = tuple[str, str, str, str, str | None]


class Combined(NamedTuple):
    """A class key that a quorum gave back, the branch it took, and the shares that were used."""

    key: ClassKey
    branch: str
    shares: Mapping[Place, int]

    def __repr__(self) -> str:
        return f"<Combined {self.key!r} by {self.branch}>"


@dataclass
class Gathered:
    """Shares that were checked, and what was wrong with the others, by holder."""

    shares: dict[Place, int] = field(default_factory=dict, repr=False)
    faults: dict[str, EscrowShareInvalid] = field(default_factory=dict)


def open_release(envelope: Envelope, agreement: Agreement, manifest: LoggedManifest) -> ShareRelease:
    """Return what a holder signed, about these shares.

    Raises:
        SignatureInvalid: it is not signed by a holder the agreement names.
        AttributionFailed: it is about another agreement, or shares that have been dealt anew since.
        MalformedEnvelope: it hands over the same share twice, or shares that were not dealt to its holder.
    """
    # Read before it is verified only to learn whose key must have signed it; then opened under exactly that.
    claimed = ShareRelease.parse(envelope.payload)
    key = holder_of(agreement, claimed.holder).key(KeyUse.AGREEMENT)
    release = open_document(envelope, ShareRelease, required=(key,))
    document = manifest.document
    if (release.agreement, release.manifest) != (document.agreement, manifest.digest):
        raise AttributionFailed("a share of another dealing than the one in force", holder=release.holder)
    dealt = set(places(document, release.holder))
    handed = [(_place(share), share.to) for share in release.shares]
    if len(set(handed)) != len(handed) or any(place not in dealt for place, _ in handed):
        raise MalformedEnvelope(f"{release.holder} hands over shares that it was not dealt", holder=release.holder)
    return release


def purpose(release: ShareRelease) -> Purpose:
    """Return what shares must agree in to be used together: class, recipient, ground, rule and order."""
    return release.content_class, release.recipient, release.ground, release.rule, release.order


def gather(
    releases: Iterable[ShareRelease], manifest: LoggedManifest, *, own: str | None = None, key: WorkerKey | None = None
) -> Gathered:
    """Open the shares of releases and check each against the commitments.

    Args:
        releases: what `open_release` returned.
        manifest: the dealing they are of.
        own: the name of the party that combines, where the shares are sealed to it.
        key: that party's `receive` key.
    """
    gathered = Gathered()
    groups = {branch.id: branch.groups for branch in manifest.document.branches}
    for release in releases:
        for share in release.shares:
            place = _place(share)
            if share.to not in (None, own):
                continue
            try:
                scalar = _scalar(share, place, release.holder, manifest.digest, key)
                commitments = groups[place.branch][place.group].commitments
                check_share(commitments, place.share, scalar, holder=release.holder)
            except EscrowShareInvalid as error:
                gathered.faults[release.holder] = error
                continue
            gathered.shares[place] = scalar
    return gathered


def recover(gathered: Gathered, manifest: LoggedManifest, *, suite_id: str) -> Combined:
    """Return the class key of the first branch whose groups are all met and that opens it.

    Raises:
        EscrowShareInvalid: without somebody's bad share a branch would be met.
        EscrowQuorumUnmet: too few holders take part.
        KeyCommitmentMismatch: the shares are good and what they open is not the registered key: the dealer's doing.
    """
    document, bad = manifest.document, None
    for branch in document.branches:
        chosen = _chosen(branch, gathered.shares)
        if chosen is None:
            continue
        try:
            return Combined(_opened(document, branch, chosen, suite_id), branch.id, chosen)
        except KeyCommitmentMismatch as error:
            bad = bad or error  # the dealer's doing; what another branch opens is cured all the same
    if bad is not None:
        raise bad
    for fault in gathered.faults.values():
        raise fault
    raise EscrowQuorumUnmet(_short_of(document.branches, gathered.shares), content_class=document.content_class)


def _opened(document: EscrowManifest, branch: SharedBranch, chosen: Mapping[Place, int], suite_id: str) -> ClassKey:
    secrets = [
        combine(group.commitments, {place.share: chosen[place] for place in chosen if place.group == number})
        for number, group in enumerate(branch.groups)
    ]
    secret = unwrap(
        secrets,
        decode(branch.wrapped),
        agreement=document.agreement,
        content_class=document.content_class,
        branch=branch.id,
    )
    key = ClassKey(secret, suite_id, document.content_class)
    if key.commitment() != document.key_commitment:
        raise KeyCommitmentMismatch(
            f"the auditor put another key than the registered one in escrow for {document.content_class}",
            content_class=document.content_class,
        )
    return key


def _chosen(branch: SharedBranch, shares: Mapping[Place, int]) -> dict[Place, int] | None:
    """Return exactly as many shares as each group needs, or None."""
    chosen: dict[Place, int] = {}
    for number, group in enumerate(branch.groups):
        there = sorted(place for place in shares if (place.branch, place.group) == (branch.id, number))
        need = len(group.commitments)
        if len(there) < need:
            return None
        chosen |= {place: shares[place] for place in there[:need]}
    return chosen


def _short_of(branches: Sequence[SharedBranch], shares: Mapping[Place, int]) -> str:
    parts = []
    for branch in branches:
        counts = [
            f"{sum((place.branch, place.group) == (branch.id, number) for place in shares)} of {len(group.commitments)}"
            for number, group in enumerate(branch.groups)
        ]
        parts.append(f"{branch.id}: {' and '.join(counts)}")
    return f"too few holders take part ({'; '.join(parts)})"


def _scalar(share: HandedShare, place: Place, holder: str, manifest: str, key: WorkerKey | None) -> int:
    try:
        if share.to is None or share.box is None:
            return parse_scalar(bytes.fromhex(share.open or ""))
        info = release_info(manifest=manifest, place=place, holder=holder, to=share.to)
        return parse_scalar(b"" if key is None else open_from(key, info, decode(share.box)))
    except (SealedOpenFailed, MalformedEnvelope):
        raise EscrowShareInvalid(f"the share that {holder} handed over does not open", holder=holder) from None


def _place(share: HandedShare) -> Place:
    return Place(share.branch, share.group, share.share)
