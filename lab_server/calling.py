"""Who is calling: known from the connection alone, never from what a message says."""

from __future__ import annotations

from contextvars import ContextVar

CALLER: ContextVar[str] = ContextVar("caller")
"""SHA-256 of the public key of the caller's TLS certificate; set around every call at the edge."""


def caller() -> str:
    """Return the caller's TLS key pin."""
    return CALLER.get()
