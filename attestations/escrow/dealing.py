"""The auditor's side: deals one class key to the agreed holders, and what anyone can check of a dealing."""

from __future__ import annotations

from collections.abc import Sequence

from attestations.commitments import ClassKey
from attestations.documents.agreement import Agreement, Party
from attestations.documents.base import decode, encode
from attestations.documents.escrow import EscrowManifest, SealedShare, SharedBranch, SharedGroup
from attestations.errors import EscrowQuorumUnmet, KeyUnacceptable, MalformedEnvelope, PolicyUnsatisfiable
from attestations.escrow.binding import Place, share_info, wrap
from attestations.escrow.sharing import Randomness, deal, random_scalar, scalar_bytes, share_point
from attestations.escrow.structure import Branch, Escrow
from attestations.keys import KeyUse
from attestations.policy.model import Rule
from attestations.recipients import recipients_of
from attestations.sealing import OVERHEAD_BYTES, seal_to

SEALED = ("C2", "C3", "C5", "C6", "C7", "C8")
"""The classes that can be in escrow: those with a key; never C9."""

WRAPPED_BYTES = 48
BOX_BYTES = OVERHEAD_BYTES + 32


def escrowed_classes(agreement: Agreement) -> tuple[str, ...]:
    """Return every class whose key the agreement puts in escrow: those it obliges anyone to have."""
    if agreement.escrow is None:
        return ()
    obliged = {rule.content_class for rule in agreement.policy.rules if rule.oblige is not None}
    return tuple(name for name in SEALED if name in obliged)


def branches_for(escrow: Escrow, rule: Rule) -> tuple[Branch, ...]:
    """Return the branches that may serve a rule: all, or those that it names by id or by a holder."""
    named = set(rule.escrow)
    return tuple(
        branch for branch in escrow.branches if not named or branch.id in named or named.intersection(branch.holders())
    )


def check_escrow(agreement: Agreement) -> None:
    """Check that what is agreed about escrow can be carried out.

    Raises:
        PolicyUnsatisfiable: a holder or recipient has no key to seal to, or no branch serves a rule.
    """
    if agreement.escrow is None:
        return
    owners: dict[str, str] = {}
    for party in agreement.parties:
        for public in {key.public for key in party.keys}:
            owner = owners.setdefault(public, party.id)
            if owner != party.id and {owner, party.id} & set(agreement.escrow.holders()):
                raise PolicyUnsatisfiable(f"{party.id} and {owner} have one key: they are one holder", rule="L2")
        if party.id in agreement.escrow.holders():
            _check_key(party, "signs nothing", KeyUse.AGREEMENT)
            _check_key(party, "cannot be given a share", KeyUse.RECEIVE)
    for rule in agreement.policy.rules:
        if rule.content_class not in escrowed_classes(agreement) or rule.oblige is None:
            continue
        served = [branch for branch in branches_for(agreement.escrow, rule) if "overdue" in branch.opens]
        if not served:
            raise PolicyUnsatisfiable(f"{rule.id} is obliged and no branch of the escrow serves it", rule="L2")
        meant = recipients_of(agreement, rule.to)
        if rule.to != "PUBLIC" and not meant:
            raise PolicyUnsatisfiable(f"{rule.id} is owed to {rule.to}, whom the agreement does not name", rule="L2")
        for party in meant:
            _check_key(party, f"is owed {rule.content_class} and has no key that shares can be sealed to")


def put_in_escrow(
    agreement: Agreement,
    class_key: ClassKey,
    *,
    digest: str,
    made_at: str,
    randomness: Randomness,
    without: Sequence[str] = (),
    supersedes: str | None = None,
) -> EscrowManifest:
    """Deal a class key to the holders of the agreement less those in `without`.

    Raises:
        EscrowQuorumUnmet: without them nobody could open.
        KeyUnacceptable: a holder's key cannot be sealed to.
    """
    structure = structure_of(agreement, without)
    branches = []
    for branch in structure.branches:
        secrets, groups = [], []
        for number, group in enumerate(branch.groups):
            secret = random_scalar(randomness)
            dealing = deal(secret, need=group.need, holders=len(group.of), randomness=randomness)
            secrets.append(secret)
            shares = []
            for index, (holder, share) in enumerate(zip(group.of, dealing.shares, strict=True), start=1):
                info = share_info(
                    agreement=digest,
                    content_class=class_key.cls,
                    place=Place(branch.id, number, index),
                    holder=holder,
                )
                public = holder_of(agreement, holder).key(KeyUse.RECEIVE).public
                shares.append(SealedShare(holder=holder, box=encode(seal_to(public, info, scalar_bytes(share)))))
            groups.append(SharedGroup(commitments=dealing.commitments, shares=tuple(shares)))
        wrapped = wrap(secrets, class_key.secret, agreement=digest, content_class=class_key.cls, branch=branch.id)
        branches.append(SharedBranch(id=branch.id, wrapped=encode(wrapped), groups=tuple(groups)))
    return EscrowManifest(
        agreement=digest,
        content_class=class_key.cls,
        key_commitment=class_key.commitment(),
        branches=tuple(branches),
        without=tuple(without),
        supersedes=supersedes,
        made_at=made_at,
    )


def structure_of(agreement: Agreement, without: Sequence[str]) -> Escrow:
    """Return who can open, less some holders.

    Raises:
        EscrowQuorumUnmet: nobody could, or the agreement has no escrow.
        MalformedEnvelope: one of them holds nothing.
    """
    if agreement.escrow is None:
        raise EscrowQuorumUnmet("the agreement puts nothing in escrow")
    if not set(without) <= set(agreement.escrow.holders()) or len(set(without)) != len(without):
        raise MalformedEnvelope("a resharing leaves out somebody who holds nothing")
    left = agreement.escrow.without(frozenset(without))
    if left is None:
        raise EscrowQuorumUnmet("too few holders are left to open anything", lost=", ".join(sorted(without)))
    return left


def check_manifest(agreement: Agreement, manifest: EscrowManifest) -> None:
    """Check what is public of a dealing: it is of the agreed structure, and every share has a public point.

    Raises:
        MalformedEnvelope: it is not; the shares themselves only their holders can check.
        EscrowQuorumUnmet: it leaves out so many holders that nobody could open.
    """
    structure = structure_of(agreement, manifest.without)
    if manifest.content_class not in escrowed_classes(agreement):
        raise MalformedEnvelope(f"{manifest.content_class} is not to be in escrow")
    if bool(manifest.without) and manifest.supersedes is None:
        raise MalformedEnvelope("only a resharing goes without agreed holders")
    agreed = [(branch.id, [(group.need, group.of) for group in branch.groups]) for branch in structure.branches]
    dealt = [
        (branch.id, [(len(group.commitments), tuple(item.holder for item in group.shares)) for group in branch.groups])
        for branch in manifest.branches
    ]
    if agreed != dealt:
        raise MalformedEnvelope(f"the escrow of {manifest.content_class} is not of the agreed structure")
    for branch in manifest.branches:
        if len(decode(branch.wrapped)) != WRAPPED_BYTES:
            raise MalformedEnvelope("a wrapped class key is 48 bytes")
        for group in branch.groups:
            for index, share in enumerate(group.shares, start=1):
                share_point(group.commitments, index)
                if len(decode(share.box)) != BOX_BYTES:
                    raise MalformedEnvelope("a sealed share is 1168 bytes", holder=share.holder)


def holder_of(agreement: Agreement, name: str) -> Party:
    """Return a party that holds shares.

    Raises:
        MalformedEnvelope: the agreement names no such holder.
    """
    holders = () if agreement.escrow is None else agreement.escrow.holders()
    found = next((party for party in agreement.parties if party.id == name and name in holders), None)
    if found is None:
        raise MalformedEnvelope("a holder that the agreement does not name")
    return found


def _check_key(party: Party, why: str, use: KeyUse = KeyUse.RECEIVE) -> None:
    try:
        party.key(use)
    except KeyUnacceptable:
        raise PolicyUnsatisfiable(f"{party.id} {why}: it has no {use.value} key", rule="L2", party=party.id) from None
