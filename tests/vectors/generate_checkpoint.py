"""Vectors for checkpoints, cosignatures and proofs between them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attestations.checkpoint import Checkpoint, cosign, sign_checkpoint
from attestations.keys import KeyUse
from attestations.merkle import Tree, leaf_hash
from tests.support.fixed_keys import ed25519_signer
from tests.vectors.families import write

ORIGIN = "lab.example/safeconduct/1"
AT = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
LEAVES = [f"leaf {number}".encode() for number in range(7)]


def generate() -> Any:
    """Return the vectors."""
    tree = Tree(map(leaf_hash, LEAVES))
    lab, auditor = ed25519_signer("lab"), ed25519_signer("auditor", KeyUse.COSIGN)
    signed = sign_checkpoint(Checkpoint(ORIGIN, 7, tree.root()), lab)
    cosigned = cosign(signed, name="auditor/cosign", signer=auditor, at=AT)
    return {
        "origin": ORIGIN,
        "logKey": lab.key.public.hex(),
        "cosigner": {"name": "auditor/cosign", "key": auditor.key.public.hex(), "time": int(AT.timestamp())},
        "leaves": [leaf.hex() for leaf in LEAVES],
        "roots": [tree.root(size).hex() for size in range(8)],
        "signed": signed.to_text(),
        "cosigned": cosigned.to_text(),
        "inclusion": [[item.hex() for item in tree.inclusion(index, 7)] for index in range(7)],
        "consistency": [[item.hex() for item in tree.consistency(old, 7)] for old in range(1, 8)],
    }


if __name__ == "__main__":
    write("checkpoint", generate())
