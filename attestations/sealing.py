"""Sealing to one holder of a key: requests that only the worker can read, padded so that their size tells little.

HPKE (RFC 9180) in Base mode with MLKEM768_X25519, HKDF-SHA256 and AES-256-GCM; the context is bound through
`info`. `docs/spec/sealing.md` is the normative page.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from attestations.digests import lp
from attestations.errors import KeyUnacceptable, MalformedEnvelope, SealedOpenFailed, SizeLimitExceeded

SEED_BYTES = 32
PUBLIC_BYTES = 1216  # ML-KEM-768 encapsulation key (1184) and X25519 public key (32)
OVERHEAD_BYTES = 1136  # encapsulated secret (1120) and tag (16)
MAX_SEALED_PLAINTEXT = 1 << 30

_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64
_LENGTH = 4
_DIGEST = 32
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def padme(n: int) -> int:
    """Return the length that `n` bytes are padded to: at most 12 % more, O(log log n) bits of length told (Padme)."""
    if n < 2:  # noqa: PLR2004 - the formula takes two logarithms
        return n
    exponent = n.bit_length() - 1
    mask = (1 << exponent - exponent.bit_length()) - 1
    return (n + mask) & ~mask


def padded_length(data: bytes) -> int:
    """Return how long `pad` makes `data` if it is given no floor."""
    return padme(_LENGTH + len(data))


def pad(data: bytes, *, floor: int = 0) -> bytes:
    """Return u32 length, data, and zeros up to the next Padme length, or up to `floor` if that is more."""
    if len(data) > MAX_SEALED_PLAINTEXT:
        raise SizeLimitExceeded("too large to be sealed in one piece", bytes=str(len(data)))
    return (len(data).to_bytes(_LENGTH, "big") + data).ljust(max(padded_length(data), floor), b"\0")


def unpad(padded: bytes, *, floored: bool = False) -> bytes | None:
    """Return what `pad` padded (with a floor or without), or None where the bytes are not its form."""
    length = int.from_bytes(padded[:_LENGTH], "big")
    end = _LENGTH + length
    if len(padded) < _LENGTH or padded.count(0, end) != len(padded) - end:
        return None
    if len(padded) < padme(end) or (len(padded) != padme(end) and not floored):
        return None
    return padded[_LENGTH:end]


class WorkerKey:
    """Holds the private side of one HPKE key; a worker's, or that of a recipient of class keys."""

    __slots__ = ("_private", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise KeyUnacceptable("the seed of an HPKE key is 32 bytes")
        # The key pair follows from the seed as in X-Wing: SHAKE-256 gives the ML-KEM seed and the X25519 scalar.
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED + 32)
        lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:])
        self._seed = seed
        self._private = hpke.MLKEM768X25519PrivateKey(lattice, curve)
        self.public: bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> WorkerKey:
        """Make a new key; for edges and tests only."""
        return cls(os.urandom(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 bytes to keep, for a recipient; a worker keeps none."""
        return self._seed

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return what was sealed to this key in the context `info`.

        Raises:
            SealedOpenFailed: another key, another context, or damaged bytes.
        """
        try:
            return _SUITE.decrypt(sealed, self._private, info=info)
        except (InvalidTag, ValueError):
            raise SealedOpenFailed("sealed bytes do not open under this key in this context") from None

    def __repr__(self) -> str:
        return f"<WorkerKey {hashlib.sha256(self.public).hexdigest()}>"


def request_info(*, agreement: str, session: str, seq: int, variant: str, evidence: str) -> bytes:
    """Return the context a request is sealed in; `agreement` and `evidence` are digests as hex.

    Raises:
        MalformedEnvelope: a digest that is not one.
    """
    return (
        b"safeconduct/v1 req"
        + raw32(agreement)
        + lp(session.encode())
        + seq.to_bytes(8, "big")
        + lp(variant.encode())
        + raw32(evidence)
    )


def seal_request(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Pad and seal a request to a worker's key.

    Raises:
        KeyUnacceptable: `public` is not a key one can seal to.
        SizeLimitExceeded: the request is too large.
    """
    return seal_to(public, info, pad(plaintext))


def open_request(worker_key: WorkerKey, info: bytes, sealed: bytes) -> bytes:
    """Return the request that was padded and sealed.

    Raises:
        SealedOpenFailed: another key, another context, damaged bytes, or padding that is not in its one form.
    """
    plaintext = unpad(worker_key.open(sealed, info))
    if plaintext is None:
        raise SealedOpenFailed("a sealed request whose padding is not in its one form")
    return plaintext


def seal_to(public: bytes, info: bytes, secret: bytes) -> bytes:
    """Seal a short secret of fixed length, such as a class key, to a recipient.

    Raises:
        KeyUnacceptable: `public` is not a key one can seal to.
    """
    if len(public) != PUBLIC_BYTES:
        raise KeyUnacceptable("an MLKEM768_X25519 key is 1216 bytes")
    try:
        return _SUITE.encrypt(secret, _public_key(public), info=info)
    except ValueError:
        # Not a lattice point, or an X25519 key of small order that would make the shared secret known.
        raise KeyUnacceptable("not an MLKEM768_X25519 key that can be sealed to") from None


@lru_cache(maxsize=16)
def _public_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    """Load a public key; a campaign seals every request to the same one."""
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
        x25519.X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
    )


def open_from(key: WorkerKey, info: bytes, sealed: bytes) -> bytes:
    """Return a secret that was sealed with `seal_to`.

    Raises:
        SealedOpenFailed: another key, another context, or damaged bytes.
    """
    return key.open(sealed, info)


def raw32(digest: str) -> bytes:
    """Return the 32 bytes behind a digest written as 64 lower-case hex digits.

    Raises:
        MalformedEnvelope: it is not one.
    """
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b""
    if len(raw) != _DIGEST or raw.hex() != digest:
        raise MalformedEnvelope("not a SHA-256 digest in hex")
    return raw
