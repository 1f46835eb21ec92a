"""The certificate authority of the private Sigstore fixture: tokens in, ten-minute certificates with an SCT out."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUDIENCE = "sigstore"
SIGNING = [ExtendedKeyUsageOID.CODE_SIGNING]
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_SHA256, _ECDSA = 4, 3  # RFC 5246, as RFC 6962 uses them


class RefusedTokenError(Exception):
    """The authority does not certify this."""


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as SPKI DER."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def der(tag: int, *parts: bytes) -> bytes:
    """Return one DER element."""
    body = b"".join(parts)
    length = bytes([len(body)]) if len(body) < 0x80 else len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag]) + (length if len(body) < 0x80 else bytes([0x80 | len(length)]) + length) + body


def authority(name: str, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the key and the self-signed certificate of a new root."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = issuing(subject, subject, key.public_key(), key.public_key(), now, timedelta(days=1))
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def issuing(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    """Return what every certificate here begins with."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def leaf_usage() -> x509.KeyUsage:
    """Return the key usage of a certificate that signs."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


class Issuer:
    """An OIDC issuer: nothing but a key that signs tokens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, identity: str, *, audience: str = AUDIENCE, life: timedelta = timedelta(minutes=5)) -> str:
        """Return an identity token."""
        now = datetime.now(UTC)
        claims = {"iss": self.url, "sub": identity, "aud": audience, "iat": now, "exp": now + life}
        return jwt.encode(claims, self._key, algorithm="ES256")

    def identity(self, token: str) -> str:
        """Return whom a token is about, if it is ours and valid."""
        try:
            claims = jwt.decode(token, self._key.public_key(), algorithms=["ES256"], audience=AUDIENCE, issuer=self.url)
        except jwt.PyJWTError as error:
            raise RefusedTokenError(type(error).__name__) from None
        return str(claims["sub"])


class CertificateAuthority:
    """Certifies the key of a CSR for the identity of a token, and logs the certificate (CT) by signing an SCT."""

    def __init__(self, issuer: Issuer, now: datetime) -> None:
        self.issuer = issuer
        self._key, self.root = authority("private fixture CA", now)
        self._ct_key = ec.generate_private_key(ec.SECP256R1())
        self.ct_public = spki(self._ct_key.public_key())
        self.ct_id = hashlib.sha256(self.ct_public).digest()

    def certify(self, token: str, csr_pem: bytes) -> list[x509.Certificate]:
        """Return the chain for a signing request.

        Raises:
            RefusedTokenError: the token is not the issuer's, or the CSR does not prove possession of a P-256 key.
        """
        identity = self.issuer.identity(token)
        csr = x509.load_pem_x509_csr(csr_pem)
        key = csr.public_key()
        if not csr.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise RefusedTokenError("CSR")
        return [self._issue(identity, key, datetime.now(UTC)), self.root]

    def _issue(self, identity: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        name: x509.GeneralName = x509.RFC822Name(identity)
        if "@" not in identity:
            name = x509.UniformResourceIdentifier(identity)
        issuer = self.issuer.url.encode()
        builder = (
            issuing(x509.Name([]), self.root.subject, key, self._key.public_key(), now, timedelta(minutes=10))
            .add_extension(leaf_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(SIGNING), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V1, issuer), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_V2, der(0x0C, issuer)), critical=False)
        )
        precertificate = builder.sign(self._key, hashes.SHA256()).tbs_certificate_bytes
        sct = self._sct(precertificate, int(now.timestamp() * 1000))
        return builder.add_extension(x509.UnrecognizedExtension(_SCT_LIST, sct), critical=False).sign(
            self._key, hashes.SHA256()
        )

    def _sct(self, precertificate: bytes, milliseconds: int) -> bytes:
        issuer = hashlib.sha256(spki(self._key.public_key())).digest()
        entry = issuer + len(precertificate).to_bytes(3) + precertificate
        signed = struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0"
        signature = self._ct_key.sign(signed, ec.ECDSA(hashes.SHA256()))
        sct = struct.pack("!B32sQHBBH", 0, self.ct_id, milliseconds, 0, _SHA256, _ECDSA, len(signature)) + signature
        return der(0x04, struct.pack("!HH", len(sct) + 2, len(sct)) + sct)
