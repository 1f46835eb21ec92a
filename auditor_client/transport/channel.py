"""The one connection to a lab: mutual TLS in which each side accepts exactly one certificate."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from attestations.errors import ConfigurationInvalid, PeerBindingMismatch

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # an envelope is at most 2 MiB, a page of 256 leaves may be more
_LEAF_PAGE_BYTES = 256 * 65_535 + 65_536
_KEEPALIVE_MS = 20_000


@dataclass(frozen=True)
class Credentials:
    """What a connection is made with: our key and certificate, and the only certificate we accept."""

    private_key: bytes
    certificate: bytes
    lab_certificate: bytes

    def __repr__(self) -> str:
        return f"Credentials(lab={spki_digest(self.lab_certificate)[:16]})"


def spki_digest(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate's SubjectPublicKeyInfo: the pin that agreements hold.

    Raises:
        ConfigurationInvalid: it is not a certificate.
    """
    key = _certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def check_pin(certificate: bytes, pinned: str, *, whose: str) -> None:
    """Refuse a certificate other than the one signed for in the terms or the agreement.

    Raises:
        PeerBindingMismatch: its key is another.
    """
    if spki_digest(certificate) != pinned:
        raise PeerBindingMismatch(f"the {whose}'s TLS key is not the one that is pinned", pinned=pinned)


def open_channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
    """Return a channel to `host:port`; it connects when first used and must be closed."""
    # The lab's self-signed certificate is the only root, so TLS itself accepts no other key.
    tls = grpc.ssl_channel_credentials(
        root_certificates=credentials.lab_certificate,
        private_key=credentials.private_key,
        certificate_chain=credentials.certificate,
    )
    options = [
        ("grpc.ssl_target_name_override", _host_name(credentials.lab_certificate)),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _LEAF_PAGE_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.enable_retries", 0),  # retries are ours: they must send the same signed bytes
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.secure_channel(address, tls, options=options)


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigurationInvalid("not a PEM certificate", field="tls") from None


def _host_name(pem: bytes) -> str:
    certificate = _certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
        if found:
            return found[0]
        addresses = names.get_values_for_type(x509.IPAddress)
        if addresses:
            return str(addresses[0])
    except x509.ExtensionNotFound:
        pass
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not common:
        raise ConfigurationInvalid("the lab's certificate names no host", field="tls")
    return str(common[0].value)
