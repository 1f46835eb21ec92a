"""Keys by role: what a key may be used for decides what it is, and nothing a message says changes that."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from attestations.errors import KeyUnacceptable

HPKE_PUBLIC_BYTES = 1216  # ML-KEM-768 encapsulation key (1184) and X25519 public key (32)
_ED25519_PRIME = 2**255 - 19
_ECDSA = ec.ECDSA(hashes.SHA256())
_DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)  # RFC 6979: no randomness below the edges


class KeyUse(StrEnum):
    """The one thing a key may be used for."""

    AGREEMENT = "agreement"
    RECORD = "record"
    LOG = "log"
    WORKER = "worker"
    EXCHANGE = "exchange"
    COSIGN = "cosign"
    PUBLICATION = "publication"
    WITNESS = "witness"
    RELAY = "relay"
    RECEIVE = "receive"


class Algorithm(StrEnum):
    """How a key signs or receives; it follows from the use."""

    P256 = "ecdsa-p256-sha256"
    ED25519 = "ed25519"
    HPKE = "hpke-mlkem768-x25519"


_ED25519_USES = frozenset({KeyUse.LOG, KeyUse.COSIGN, KeyUse.WITNESS})


def algorithm_for(use: KeyUse) -> Algorithm:
    """Return the one algorithm a use allows."""
    if use is KeyUse.RECEIVE:
        return Algorithm.HPKE
    return Algorithm.ED25519 if use in _ED25519_USES else Algorithm.P256


@dataclass(frozen=True)
class EnrolledKey:
    """A public key that has been checked; `public` is SPKI DER, or raw bytes for HPKE."""

    party: str
    use: KeyUse
    algorithm: Algorithm
    public: bytes = field(repr=False)

    @cached_property
    def id(self) -> str:
        """The base64 SHA-256 of the public key: DSSE keyid and Sigstore public-key hint."""
        return base64.b64encode(hashlib.sha256(self.public).digest()).decode()

    @cached_property
    def raw(self) -> bytes:
        """The 32 raw bytes of an Ed25519 key."""
        if self.algorithm is not Algorithm.ED25519:
            raise TypeError("only Ed25519 keys have a raw form here")
        return self.public[-32:]

    @cached_property
    def _loaded(self) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
        loaded = serialization.load_der_public_key(self.public)
        assert isinstance(loaded, (ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey))  # noqa: S101 - enrolled
        return loaded

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether `signature` is this key's over `data`."""
        if self.algorithm is Algorithm.HPKE:
            return False
        loaded = self._loaded
        try:
            if isinstance(loaded, ec.EllipticCurvePublicKey):
                loaded.verify(signature, data, _ECDSA)
            else:
                loaded.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=4096)
def enrol(party: str, use: KeyUse, public: bytes) -> EnrolledKey:
    """Check a public key for a use; asked again about one key, it answers from memory, and with the key it loaded then.

    Raises:
        KeyUnacceptable: it is of another kind, not on its curve, of small order, or not in its one encoding.
    """
    algorithm = algorithm_for(use)
    facts = {"party": party, "use": use.value}
    if algorithm is Algorithm.HPKE:
        if len(public) != HPKE_PUBLIC_BYTES:
            raise KeyUnacceptable(f"the {use.value} key of {party} is not an MLKEM768_X25519 key", **facts)
        return EnrolledKey(party, use, algorithm, public)
    try:
        loaded = serialization.load_der_public_key(public)
        encoded = loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnacceptable(f"the {use.value} key of {party} is not a public key", **facts) from None
    if encoded != public:
        raise KeyUnacceptable(f"the {use.value} key of {party} is not in its one encoding", **facts)
    if algorithm is Algorithm.P256:
        if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, ec.SECP256R1):
            raise KeyUnacceptable(f"the {use.value} key of {party} is not a P-256 key", **facts)
    elif not isinstance(loaded, ed25519.Ed25519PublicKey):
        raise KeyUnacceptable(f"the {use.value} key of {party} is not an Ed25519 key", **facts)
    elif not _full_order(public[-32:]):
        raise KeyUnacceptable(f"the {use.value} key of {party} is of small order or not canonical", **facts)
    return EnrolledKey(party, use, algorithm, public)


def _full_order(raw: bytes) -> bool:
    """Tell whether an Ed25519 public key is canonical and not of small order (RFC 8032 5.1, order divides 8).

    A small-order key verifies signatures over any message; libraries accept it.
    """
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if y >= _ED25519_PRIME:
        return False
    prime = _ED25519_PRIME
    d = -121665 * pow(121666, prime - 2, prime) % prime
    x2 = (y * y - 1) * pow(d * y * y + 1, prime - 2, prime) % prime
    # Doubling three times in projective y/x2 terms: the point is of small order when 8P is the identity.
    x = pow(x2, (prime + 3) // 8, prime)
    if (x * x - x2) % prime:
        x = x * pow(2, (prime - 1) // 4, prime) % prime
    if (x * x - x2) % prime:
        return False
    point = (x, y)
    for _ in range(3):
        point = _double(point, d, prime)
    return point != (0, 1)


def _double(point: tuple[int, int], d: int, prime: int) -> tuple[int, int]:
    x, y = point
    product = d * x * x * y * y % prime
    doubled_x = 2 * x * y * pow(1 + product, prime - 2, prime) % prime
    doubled_y = (y * y + x * x) * pow(1 - product, prime - 2, prime) % prime
    return doubled_x, doubled_y


class Signer(Protocol):
    """Someone who can sign with one enrolled key."""

    @property
    def key(self) -> EnrolledKey:
        """The public side."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`."""
        ...


class P256Signer:
    """Signs documents; the same bytes always give the same signature."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, *, party: str, use: KeyUse) -> None:
        self._private = private
        self.key = enrol(party, use, _spki(private.public_key()))

    @classmethod
    def generate(cls, *, party: str, use: KeyUse) -> P256Signer:
        """Make a new key; for edges and tests only."""
        return cls(ec.generate_private_key(ec.SECP256R1()), party=party, use=use)

    def sign(self, data: bytes) -> bytes:
        """Return the DER signature over `data`."""
        return self._private.sign(data, _DETERMINISTIC)

    def to_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS 8 PEM."""
        return _pem(self._private)

    def __repr__(self) -> str:
        return f"<P256Signer {self.key.party} {self.key.use.value} {self.key.id}>"


class Ed25519Signer:
    """Signs checkpoints and cosignatures."""

    def __init__(self, private: ed25519.Ed25519PrivateKey, *, party: str, use: KeyUse) -> None:
        self._private = private
        self.key = enrol(party, use, _spki(private.public_key()))

    @classmethod
    def generate(cls, *, party: str, use: KeyUse) -> Ed25519Signer:
        """Make a new key; for edges and tests only."""
        return cls(ed25519.Ed25519PrivateKey.generate(), party=party, use=use)

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over `data`."""
        return self._private.sign(data)

    def to_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS 8 PEM."""
        return _pem(self._private)

    def __repr__(self) -> str:
        return f"<Ed25519Signer {self.key.party} {self.key.use.value} {self.key.id}>"


def signer_from_pem(pem: bytes, *, party: str, use: KeyUse) -> P256Signer | Ed25519Signer:
    """Read a private key for a use.

    Raises:
        KeyUnacceptable: it is not a private key of the kind the use needs.
    """
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyUnacceptable(
            f"the {use.value} key of {party} is not a private key", party=party, use=use.value
        ) from None
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return P256Signer(private, party=party, use=use)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return Ed25519Signer(private, party=party, use=use)
    raise KeyUnacceptable(f"the {use.value} key of {party} is of an unknown kind", party=party, use=use.value)


def _spki(public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem(private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
