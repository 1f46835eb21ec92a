"""The transparency log of the private Sigstore fixture: the part of Rekor v2 a signer needs, over a growing tree."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from attestations.canonical import canonical_bytes
from attestations.checkpoint import Checkpoint, sign_checkpoint
from attestations.keys import Ed25519Signer, KeyUse
from attestations.merkle import Tree, leaf_hash

ORIGIN = "log.private.example"


class RefusedEntryError(Exception):
    """The log does not take this."""


class TransparencyLog:
    """A Merkle tree of `hashedrekord/0.0.2` entries and a signed checkpoint after each."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self._signer = Ed25519Signer.generate(party=origin, use=KeyUse.LOG)
        self.public = self._signer.key.public
        # Verifiers compare its first four bytes with the hint in the checkpoint, npm's all of it with the trusted root.
        self.id = hashlib.sha256(origin.encode() + b"\n\x01" + self._signer.key.raw).digest()
        self._tree = Tree()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many entries were taken."""
        return self._tree.size

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take an entry and return what proves it.

        Raises:
            RefusedEntryError: its signature does not hold.
        """
        asked = request["hashedRekordRequestV002"]
        digest, signature = asked["digest"], asked["signature"]
        _check(base64.b64decode(digest), signature)
        spec = {"data": {"algorithm": "SHA2_256", "digest": digest}, "signature": signature}
        kind = {"kind": "hashedrekord", "version": "0.0.2"}
        body = canonical_bytes(
            {"apiVersion": kind["version"], "kind": kind["kind"], "spec": {"hashedRekordV002": spec}}
        )
        with self._lock:
            index = self._tree.append(leaf_hash(body))
            return {
                "logIndex": str(index),
                "logId": {"keyId": base64.b64encode(self.id).decode()},
                "kindVersion": kind,
                "integratedTime": "0",
                "inclusionProof": self._proof(index),
                "canonicalizedBody": base64.b64encode(body).decode(),
            }

    def _proof(self, index: int) -> dict[str, Any]:
        size, root = self._tree.size, self._tree.root()
        note = sign_checkpoint(Checkpoint(self.origin, size, root), self._signer)
        return {
            "logIndex": str(index),
            "rootHash": base64.b64encode(root).decode(),
            "treeSize": str(size),
            # Also where it is empty: sigstore-python requires the field.
            "hashes": [base64.b64encode(item).decode() for item in self._tree.inclusion(index, size)],
            "checkpoint": {"envelope": note.to_text()},
        }


def _check(digest: bytes, signature: dict[str, Any]) -> None:
    raw = base64.b64decode(signature["verifier"]["x509Certificate"]["rawBytes"])
    key = x509.load_der_x509_certificate(raw).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(base64.b64decode(signature["content"]), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        raise RefusedEntryError from None
