"""What every secret of escrow is bound to: agreement, class, branch, place and holder are part of each derivation."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from attestations.digests import lp
from attestations.errors import EscrowShareInvalid, KeyCommitmentMismatch
from attestations.escrow.curve import ORDER
from attestations.escrow.sharing import scalar_bytes
from attestations.sealing import raw32

_ONCE = bytes(12)  # every key that follows from a dealing wraps exactly one class key
_PROOF = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class Place(NamedTuple):
    """Where a share stands: branch, group from 0 on, share from 1 on."""

    branch: str
    group: int
    share: int

    def to_bytes(self) -> bytes:
        """Return the place's only form as bytes."""
        return lp(self.branch.encode()) + self.group.to_bytes(8, "big") + self.share.to_bytes(8, "big")


def share_info(*, agreement: str, content_class: str, place: Place, holder: str) -> bytes:
    """Return the HPKE context in which a share is sealed to its holder."""
    head = b"safeconduct/v1 escrow share" + raw32(agreement) + lp(content_class.encode())
    return head + place.to_bytes() + lp(holder.encode())


def release_info(*, manifest: str, place: Place, holder: str, to: str) -> bytes:
    """Return the HPKE context in which a holder seals its share to a recipient."""
    head = b"safeconduct/v1 escrow release" + raw32(manifest)
    return head + place.to_bytes() + lp(holder.encode()) + lp(to.encode())


def wrap(secrets: list[int], class_key: bytes, *, agreement: str, content_class: str, branch: str) -> bytes:
    """Return a class key sealed under the sum of its branch's secrets."""
    return AESGCM(_kek(secrets, agreement, content_class, branch)).encrypt(_ONCE, class_key, None)


def unwrap(secrets: list[int], wrapped: bytes, *, agreement: str, content_class: str, branch: str) -> bytes:
    """Return what `wrap` sealed.

    Raises:
        KeyCommitmentMismatch: it does not open; every share was the committed one, so the dealer is to blame.
    """
    try:
        return AESGCM(_kek(secrets, agreement, content_class, branch)).decrypt(_ONCE, wrapped, None)
    except (InvalidTag, ValueError):
        raise KeyCommitmentMismatch(
            f"what the auditor put in escrow for {content_class} does not open", content_class=content_class
        ) from None


def prove(share: int, *, manifest: str, place: Place, holder: str, challenge: str) -> bytes:
    """Return a signature by the share itself, so that anyone can see from the commitments that it is known."""
    key = ec.derive_private_key(share, ec.SECP256R1())
    return key.sign(_statement(manifest, place, holder, challenge), _PROOF)


def check_proof(proof: bytes, point: str, *, manifest: str, place: Place, holder: str, challenge: str) -> None:
    """Check a proof against the public point of the share.

    Raises:
        EscrowShareInvalid: it was not made with the share.
    """
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(point))
    try:
        key.verify(proof, _statement(manifest, place, holder, challenge), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise EscrowShareInvalid(f"{holder} has not shown that it holds its share", holder=holder) from None


def _statement(manifest: str, place: Place, holder: str, challenge: str) -> bytes:
    head = b"safeconduct/v1 escrow proof" + raw32(manifest)
    return head + place.to_bytes() + lp(holder.encode()) + raw32(challenge)


def _kek(secrets: list[int], agreement: str, content_class: str, branch: str) -> bytes:
    # HKDF (RFC 5869, SHA-256): extract, then one block of expand. The sum stands for all groups: AND.
    extracted = hmac.digest(b"safeconduct/v1 escrow", scalar_bytes(sum(secrets) % ORDER), "sha256")
    info = b"safeconduct/v1 escrow kek" + raw32(agreement) + lp(content_class.encode()) + lp(branch.encode())
    return hmac.digest(extracted, info + b"\x01", "sha256")
