"""Establishes who is calling from the connection's certificate, before anything of the call is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from attestations.errors import PeerBindingMismatch
from lab_server.calling import CALLER
from lab_server.home import spki_pin
from lab_server.interceptors.around import AroundCall, Context


class IdentifyCaller(AroundCall):
    """Makes `caller()` the SHA-256 of the public key of the peer's TLS certificate."""

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002 - the port's shape
        """Establish the caller of one call."""
        CALLER.set(pin_of(context))
        yield


def pin_of(context: Context) -> str:
    """Return the caller's TLS key pin.

    Raises:
        PeerBindingMismatch: the connection has no client certificate.
    """
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return _pin(bytes(pem))
    raise PeerBindingMismatch("the connection has no client certificate")


@lru_cache(maxsize=256)
def _pin(pem: bytes) -> str:
    return spki_pin(pem)
