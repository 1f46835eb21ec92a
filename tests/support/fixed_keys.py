"""Keys that are the same on every run, derived from a label; worthless outside tests."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestations.commitments import SuiteKey
from attestations.keys import Ed25519Signer, KeyUse
from attestations.sealing import WorkerKey


def secret(label: str) -> bytes:
    """Return 32 bytes for a label."""
    return hashlib.sha256(b"safeconduct test key " + label.encode()).digest()


def ed25519_signer(party: str, use: KeyUse = KeyUse.LOG, *, label: str | None = None) -> Ed25519Signer:
    """Return the signer of a party for a use; parties with one label share one private key."""
    private = Ed25519PrivateKey.from_private_bytes(secret(label or f"{party} {use.value}"))
    return Ed25519Signer(private, party=party, use=use)


def suite_key(suite_id: str = "suite-1") -> SuiteKey:
    """Return the key of a suite."""
    return SuiteKey(secret(f"suite {suite_id}"), suite_id)


def worker_key(label: str = "worker") -> WorkerKey:
    """Return an HPKE key pair."""
    return WorkerKey(secret(label))
