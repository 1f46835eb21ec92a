"""Which tasks of a bank are asked, drawn so that neither side can choose and everyone can repeat it.

`docs/spec/draw.md` is the normative page. Both sides commit to a share before either is shown; a cosignature over
a checkpoint that holds both commitments is the last input.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from attestations.checkpoint import cosignature, witness_times
from attestations.documents.agreement import Agreement
from attestations.documents.base import decode
from attestations.errors import WeakSalt
from attestations.keys import EnrolledKey, KeyUse, enrol
from attestations.notes import Note

SHARE_BYTES = 32
_BLOCK_BYTES = 32
_MOST_BYTES = 1 << 16  # a request of SP 800-90A, table 2


class HmacDrbg:
    """HMAC_DRBG of NIST SP 800-90A (revision 1, 10.1.2) with SHA-256, without reseeding or additional input."""

    __slots__ = ("_key", "_value")

    def __init__(self, entropy: bytes, *, nonce: bytes = b"", personalization: bytes = b"") -> None:
        """Instantiate from the concatenated seed material."""
        self._key, self._value = bytes(_BLOCK_BYTES), b"\x01" * _BLOCK_BYTES
        self._update(entropy + nonce + personalization)

    def generate(self, count: int) -> bytes:
        """Return the next `count` bytes, at most 2^16.

        Raises:
            ValueError: more than one request may give.
        """
        if not 0 <= count <= _MOST_BYTES:
            raise ValueError("more bytes than one request may give")
        blocks = []
        for _ in range(-(-count // _BLOCK_BYTES)):
            self._value = hmac.digest(self._key, self._value, "sha256")
            blocks.append(self._value)
        self._update(b"")
        return b"".join(blocks)[:count]

    def _update(self, data: bytes) -> None:
        for separator in (b"\x00", b"\x01") if data else (b"\x00",):
            self._key = hmac.digest(self._key, self._value + separator + data, "sha256")
            self._value = hmac.digest(self._key, self._value, "sha256")


def share_commitment(share: bytes) -> str:
    """Return the commitment to one side's share, as hex.

    Raises:
        WeakSalt: the share is not 32 bytes.
    """
    _check_share(share)
    return hashlib.sha256(b"safeconduct/v1 draw share\0" + share).hexdigest()


def draw_seed(*, suite_root: str, auditor_share: bytes, lab_share: bytes, beacon: bytes) -> bytes:
    """Return the seed of a draw.

    Args:
        suite_root: the registered root, as hex: it fixes the bank.
        auditor_share: 32 bytes, committed to in the registration.
        lab_share: 32 bytes, committed to in the registration's receipt.
        beacon: cosignatures over a checkpoint that holds both, each `u64(seconds) || signature`.

    Raises:
        WeakSalt: a share is not 32 bytes, or both are the same.
    """
    _check_share(auditor_share)
    _check_share(lab_share)
    if auditor_share == lab_share:
        raise WeakSalt("both sides of a draw have the same share")
    return hashlib.sha256(
        b"safeconduct/v1 draw" + bytes.fromhex(suite_root) + auditor_share + lab_share + beacon
    ).digest()


def cosigners(agreement: Agreement) -> tuple[list[tuple[str, EnrolledKey]], int]:
    """Return whose cosignatures make a beacon, and how many it takes: the agreed witnesses, else the auditor."""
    witnesses = agreement.witnesses
    if not witnesses.quorum:
        auditor = agreement.party("auditor")
        return [(f"{auditor.id}/cosign", auditor.key(KeyUse.COSIGN))], 1
    named = [(item.name, enrol(item.name, KeyUse.WITNESS, decode(item.public))) for item in witnesses.keys]
    return named, witnesses.quorum


def beacon(note: Note, agreement: Agreement) -> tuple[bytes, datetime]:
    """Return the beacon that a cosigned checkpoint gives, and the earliest time in it.

    Raises:
        WitnessQuorumUnmet: too few of those who may have cosigned it.
        SignatureInvalid: a cosignature does not hold.
    """
    named, quorum = cosigners(agreement)
    times = witness_times(note, named, quorum)
    made = [cosignature(note, name=name, key=key) for name, key in named]
    return b"".join(item for item in made if item is not None), min(times)


def draw(seed: bytes, bank: Sequence[int], count: int) -> tuple[int, ...]:
    """Return `count` items of the bank in the order drawn: the first when each gets the next 32 bytes as its key.

    Raises:
        ValueError: the bank holds fewer, or an item twice.
    """
    if len(set(bank)) != len(bank) or not 0 <= count <= len(bank):
        raise ValueError("a bank that holds fewer items than are drawn, or one twice")
    source = HmacDrbg(seed)
    keyed = sorted((source.generate(_BLOCK_BYTES), item) for item in bank)
    return tuple(item for _, item in keyed[:count])


def _check_share(share: bytes) -> None:
    if len(share) != SHARE_BYTES:
        raise WeakSalt("a share of a draw that is not 32 bytes")
