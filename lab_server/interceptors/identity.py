"""Who is calling: the SHA-256 of the public key of the peer's TLS certificate, and nothing a message says."""

from __future__ import annotations

from functools import lru_cache

from attestations.errors import PeerBindingMismatch
from lab_server.home import spki_pin
from lab_server.interceptors.around import Context


def peer_of(context: Context) -> str:
    """Return the caller's TLS key pin.

    Raises:
        PeerBindingMismatch: the connection has no client certificate.
    """
    certificates = context.auth_context().get("x509_pem_cert", ())
    for pem in certificates:
        return _pin(bytes(pem))
    raise PeerBindingMismatch("the connection has no client certificate")


@lru_cache(maxsize=256)
def _pin(pem: bytes) -> str:
    return spki_pin(pem)
