"""Verifiable secret sharing over P-256: Shamir's shares with Feldman's commitments, so that a holder can check its own.

A dealer that hands out a share which does not fit the others is found by the holder of that share alone,
from public values (P. Feldman, "A practical scheme for non-interactive verifiable secret sharing", FOCS
1987). ADR 0017 says why this and not words on paper; `docs/spec/escrow.md` is the normative page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attestations.errors import EscrowQuorumUnmet, EscrowShareInvalid, MalformedEnvelope
from attestations.escrow.curve import ORDER, SCALAR_BYTES, add, decode_point, encode_point, public_point, times

MAX_HOLDERS = 16

Randomness = Callable[[int], bytes]
"""Gives so many random bytes; `os.urandom` at the edges, fixed bytes in vectors."""

_WIDE = 48  # 128 bits more than the order, so that the remainder is uniform (FIPS 186-5, A.2.1)


@dataclass(frozen=True)
class Dealing:
    """One secret, shared: public commitments to the polynomial, and the secret share of each holder from 1 on."""

    commitments: tuple[str, ...]
    shares: tuple[int, ...] = field(repr=False)


def random_scalar(randomness: Randomness) -> int:
    """Return a uniform scalar that is not zero."""
    while True:
        scalar = int.from_bytes(randomness(_WIDE), "big") % ORDER
        if scalar:
            return scalar


def deal(secret: int, *, need: int, holders: int, randomness: Randomness) -> Dealing:
    """Share a secret scalar so that any `need` of `holders` shares give it back and fewer tell nothing.

    Raises:
        ValueError: a secret, a threshold or a number of holders that makes no sense.
    """
    if not 1 <= need <= holders <= MAX_HOLDERS or not 0 < secret < ORDER:
        raise ValueError("a sharing of 1 to 16 holders, as many of them as are needed, and a scalar")
    while True:
        polynomial = [secret, *(random_scalar(randomness) for _ in range(need - 1))]
        shares = tuple(_at(polynomial, index) for index in range(1, holders + 1))
        if all(shares):  # a share of zero has no public point; it does not happen
            return Dealing(tuple(public_point(coefficient) for coefficient in polynomial), shares)


def share_point(commitments: Sequence[str], index: int) -> str:
    """Return the public point of the share with this index, from the public commitments alone.

    Raises:
        MalformedEnvelope: a commitment is not a point, or the share would be zero.
    """
    point = None
    for commitment in reversed(commitments):
        point = add(times(index, point), decode_point(commitment))
    return encode_point(point)


def check_share(commitments: Sequence[str], index: int, share: int, *, holder: str) -> None:
    """Check a secret share against the public commitments.

    Raises:
        EscrowShareInvalid: it is not the share that was committed to.
    """
    if not 0 < share < ORDER or public_point(share) != share_point(commitments, index):
        raise EscrowShareInvalid(f"the share of {holder} is not the one that was committed to", holder=holder)


def combine(commitments: Sequence[str], shares: Mapping[int, int]) -> int:
    """Return the secret behind shares that have been checked, by their index.

    Raises:
        EscrowQuorumUnmet: there are fewer than the sharing needs.
    """
    need = len(commitments)
    if len(shares) < need:
        raise EscrowQuorumUnmet(f"{len(shares)} shares of the {need} that are needed", shares=str(len(shares)))
    chosen = sorted(shares)[:need]
    secret = 0
    for index in chosen:
        above, below = 1, 1
        for other in chosen:
            if other != index:
                above = above * other % ORDER
                below = below * (other - index) % ORDER
        secret = (secret + shares[index] * above * pow(below, -1, ORDER)) % ORDER
    return secret


def scalar_bytes(scalar: int) -> bytes:
    """Return a scalar as 32 bytes."""
    return scalar.to_bytes(SCALAR_BYTES, "big")


def parse_scalar(data: bytes) -> int:
    """Return the scalar behind 32 bytes.

    Raises:
        MalformedEnvelope: it is not one between 1 and the order less 1.
    """
    scalar = int.from_bytes(data, "big")
    if len(data) != SCALAR_BYTES or not 0 < scalar < ORDER:
        raise MalformedEnvelope("a share is a scalar of 32 bytes")
    return scalar


def _at(polynomial: Sequence[int], index: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * index + coefficient) % ORDER
    return value
