"""The holder's side: opens its own shares and no other, checks them against the commitments, proves and hands over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from attestations.documents.base import decode, encode
from attestations.documents.escrow import EscrowManifest, HandedShare, HeldClass, HeldShare
from attestations.errors import EscrowShareInvalid, MalformedEnvelope, SealedOpenFailed
from attestations.escrow.binding import Place, check_proof, prove, release_info, share_info
from attestations.escrow.sharing import check_share, parse_scalar, scalar_bytes, share_point
from attestations.keys import EnrolledKey
from attestations.sealing import WorkerKey, open_from, seal_to

FIRST = "0" * 64
"""The challenge of a first receipt: nobody has asked yet."""


class LoggedManifest(NamedTuple):
    """An escrow manifest and its digest, the name others know it by."""

    digest: str
    document: EscrowManifest


class OwnShare(NamedTuple):
    """A holder's own share; its representation does not tell it."""

    place: Place
    scalar: int

    def __repr__(self) -> str:
        return f"<OwnShare {self.place}>"


def places(manifest: EscrowManifest, holder: str) -> tuple[Place, ...]:
    """Return where a holder's shares of one class stand."""
    return tuple(
        Place(branch.id, number, index)
        for branch in manifest.branches
        for number, group in enumerate(branch.groups)
        for index, share in enumerate(group.shares, start=1)
        if share.holder == holder
    )


def open_shares(manifest: EscrowManifest, key: WorkerKey, *, holder: str) -> tuple[OwnShare, ...]:
    """Return a holder's shares of one class, each checked against the public commitments.

    Raises:
        EscrowShareInvalid: a share does not open, or is not the one that was committed to: the dealer is to blame.
    """
    groups = {branch.id: branch.groups for branch in manifest.branches}
    found = []
    for place in places(manifest, holder):
        group = groups[place.branch][place.group]
        info = share_info(
            agreement=manifest.agreement, content_class=manifest.content_class, place=place, holder=holder
        )
        try:
            scalar = parse_scalar(open_from(key, info, decode(group.shares[place.share - 1].box)))
        except (SealedOpenFailed, MalformedEnvelope):
            raise EscrowShareInvalid(
                f"the share of {holder} for {manifest.content_class} does not open with its key",
                holder=holder,
                content_class=manifest.content_class,
            ) from None
        check_share(group.commitments, place.share, scalar, holder=holder)
        found.append(OwnShare(place, scalar))
    return tuple(found)


def prove_held(
    manifests: Iterable[LoggedManifest], key: WorkerKey, *, holder: str, challenge: str = FIRST
) -> tuple[HeldClass, ...]:
    """Open and check every share of a holder, and return a proof of each that anyone can check.

    Raises:
        EscrowShareInvalid: a share is not the committed one.
    """
    held = []
    for digest, document in manifests:
        shares = tuple(
            HeldShare(
                branch=place.branch,
                group=place.group,
                share=place.share,
                proof=encode(prove(scalar, manifest=digest, place=place, holder=holder, challenge=challenge)),
            )
            for place, scalar in open_shares(document, key, holder=holder)
        )
        if shares:
            held.append(HeldClass(manifest=digest, content_class=document.content_class, shares=shares))
    return tuple(held)


def check_held(held: HeldClass, manifest: LoggedManifest, *, holder: str, challenge: str = FIRST) -> None:
    """Check that a holder has proved every share it was dealt of one class.

    Raises:
        EscrowShareInvalid: a share is missing, or a proof does not hold.
    """
    document = manifest.document
    dealt = places(document, holder)
    shown = tuple(Place(share.branch, share.group, share.share) for share in held.shares)
    if (held.manifest, held.content_class) != (manifest.digest, document.content_class) or shown != dealt:
        raise EscrowShareInvalid(f"{holder} speaks of other shares than it was dealt", holder=holder)
    groups = {branch.id: branch.groups for branch in document.branches}
    for place, share in zip(dealt, held.shares, strict=True):
        point = share_point(groups[place.branch][place.group].commitments, place.share)
        check_proof(
            decode(share.proof), point, manifest=manifest.digest, place=place, holder=holder, challenge=challenge
        )


def hand_over(
    shares: Sequence[OwnShare], *, manifest: str, holder: str, to: Sequence[EnrolledKey]
) -> Iterator[HandedShare]:
    """Give shares of a holder, sealed to each recipient, or open where there is none: to the public.

    Raises:
        KeyUnacceptable: a recipient's key cannot be sealed to.
    """
    for place, scalar in shares:
        handed = partial(HandedShare, branch=place.branch, group=place.group, share=place.share)
        if not to:
            yield handed(to=None, box=None, open=scalar_bytes(scalar).hex())
        for key in to:
            info = release_info(manifest=manifest, place=place, holder=holder, to=key.party)
            yield handed(to=key.party, box=encode(seal_to(key.public, info, scalar_bytes(scalar))))
