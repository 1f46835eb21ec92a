"""Points of P-256: public ones are added here, the public point of a secret scalar comes from `cryptography`.

Nothing in this file multiplies a point by a secret: Python's big integers take time that depends on their
value. The formulas are the affine ones of SEC 1 v2.0, 2.2.1, for public points and small public factors.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestations.errors import MalformedEnvelope

PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SCALAR_BYTES = 32

Affine = tuple[int, int] | None
"""A point by its coordinates; None is the point at infinity."""

_CURVE = ec.SECP256R1()


def public_point(scalar: int) -> str:
    """Return the public point of a secret scalar between 1 and the order less 1, compressed, as hex."""
    return _encoded(ec.derive_private_key(scalar, _CURVE).public_key())


def decode_point(text: str) -> Affine:
    """Return the coordinates of a compressed point.

    Raises:
        MalformedEnvelope: it is not a point of the curve in its one form.
    """
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, bytes.fromhex(text))
    except ValueError:
        raise MalformedEnvelope("a commitment to a share is not a point of P-256") from None
    if _encoded(key) != text:
        raise MalformedEnvelope("a commitment to a share is not in its one form")
    numbers = key.public_numbers()
    return numbers.x, numbers.y


def encode_point(point: Affine) -> str:
    """Return a point in its compressed form, as hex.

    Raises:
        MalformedEnvelope: the point at infinity, which no honest dealer meets.
    """
    if point is None:
        raise MalformedEnvelope("commitments to shares that cancel each other out")
    x, y = point
    return f"{2 + (y & 1):02x}{x:064x}"


def add(left: Affine, right: Affine) -> Affine:
    """Return the sum of two public points."""
    if left is None or right is None:
        return right if left is None else left
    (x1, y1), (x2, y2) = left, right
    if x1 == x2:
        if (y1 + y2) % PRIME == 0:
            return None
        slope = 3 * (x1 * x1 - 1) * pow(2 * y1, -1, PRIME) % PRIME  # a = -3
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, PRIME) % PRIME
    x3 = (slope * slope - x1 - x2) % PRIME
    return x3, (slope * (x1 - x3) - y1) % PRIME


def times(factor: int, point: Affine) -> Affine:
    """Return a public point multiplied by a small public factor."""
    result: Affine = None
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def _encoded(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex()
