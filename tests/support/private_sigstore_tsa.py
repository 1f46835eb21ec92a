"""The timestamp authority of the private Sigstore fixture: RFC 3161, over SHA-256, to the whole second."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import _rust

from tests.support.private_sigstore_ca import authority, der, issuing, leaf_usage

_SEQUENCE, _SET, _INTEGER, _OCTETS, _OID, _TIME = 0x30, 0x31, 0x02, 0x04, 0x06, 0x18
_CONTEXT_0 = 0xA0


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    body = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        body += bytes(reversed(groups))
    return der(_OID, bytes(body))


_SIGNED_DATA = _oid("1.2.840.113549.1.7.2")
_TST_INFO = _oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE = _oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = _oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE_V2 = _oid("1.2.840.113549.1.9.16.2.47")
_POLICY = _oid("1.3.6.1.4.1.57264.2")
_SHA256 = der(_SEQUENCE, _oid("2.16.840.1.101.3.4.2.1"))
_ECDSA_SHA256 = der(_SEQUENCE, _oid("1.2.840.10045.4.3.2"))


def _integer(number: int) -> bytes:
    return der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


class TimestampAuthority:
    """Signs that it saw a digest at a time."""

    def __init__(self, now: datetime) -> None:
        root_key, self.root = authority("private fixture TSA root", now)
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "private fixture TSA")])
        builder = issuing(
            name, self.root.subject, self._key.public_key(), root_key.public_key(), now, timedelta(days=1)
        )
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(leaf_usage(), critical=True).add_extension(usage, critical=True)
        self.leaf = builder.sign(root_key, hashes.SHA256())
        self._serial = 0

    def stamp(self, request: bytes) -> bytes:
        """Return the response to a timestamp request."""
        asked = _rust.parse_timestamp_request(request)
        self._serial += 1
        # Whole seconds: @sigstore/core cannot read a fraction whose zeros DER dropped.
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        imprint = der(_SEQUENCE, _SHA256, der(_OCTETS, asked.message_imprint.message))
        nonce = b"" if asked.nonce is None else _integer(asked.nonce)
        info = der(_SEQUENCE, _integer(1), _POLICY, imprint, _integer(self._serial), der(_TIME, now), nonce)
        return der(_SEQUENCE, der(_SEQUENCE, _integer(0)), self._signed(info))

    def _signed(self, info: bytes) -> bytes:
        certificate = self.leaf.public_bytes(Encoding.DER)
        names = der(_SEQUENCE, der(0xA4, self.leaf.issuer.public_bytes()))
        serial = _integer(self.leaf.serial_number)
        seal = der(_SEQUENCE, der(_OCTETS, hashlib.sha256(certificate).digest()), der(_SEQUENCE, names, serial))
        attributes = b"".join(
            sorted(
                der(_SEQUENCE, kind, der(_SET, value))
                for kind, value in (
                    (_CONTENT_TYPE, _TST_INFO),
                    (_MESSAGE_DIGEST, der(_OCTETS, hashlib.sha256(info).digest())),
                    (_SIGNING_CERTIFICATE_V2, der(_SEQUENCE, der(_SEQUENCE, seal))),
                )
            )
        )
        signature = self._key.sign(der(_SET, attributes), ec.ECDSA(hashes.SHA256()))
        signer = der(
            _SEQUENCE,
            _integer(1),
            der(_SEQUENCE, self.leaf.issuer.public_bytes(), serial),
            _SHA256,
            der(_CONTEXT_0, attributes),
            _ECDSA_SHA256,
            der(_OCTETS, signature),
        )
        content = der(_SEQUENCE, _TST_INFO, der(_CONTEXT_0, der(_OCTETS, info)))
        data = der(_SEQUENCE, _integer(3), der(_SET, _SHA256), content, der(_CONTEXT_0, certificate), der(_SET, signer))
        return der(_SEQUENCE, _SIGNED_DATA, der(_CONTEXT_0, data))
