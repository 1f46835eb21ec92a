"""Vectors for a sealed package."""

from __future__ import annotations

from typing import Any

from attestations.packages import chunk_key_commitment, seal_package
from tests.support.fixed_keys import suite_key
from tests.vectors.families import write

CHUNKS = (b"", b'{"fields":{},"i":1}', b"x" * 200)


def generate() -> Any:
    """Return the vectors."""
    key = suite_key("suite-1").class_key("C5")
    package = seal_package(key, CHUNKS)
    return {
        "class": "C5",
        "suiteId": "suite-1",
        "classKey": key.secret.hex(),
        "keyCommitment": package.key_commitment,
        "chunks": [
            {
                "plain": chunk.hex(),
                "key": key.task_key(i).hex(),
                "keyCommitment": chunk_key_commitment(key, i).hex(),
                "sealed": package.chunks[i].hex(),
            }
            for i, chunk in enumerate(CHUNKS)
        ],
        "ciphertextRoot": package.ciphertext_root,
        "keyRoot": package.key_root,
        "file": b"".join(package.file_blocks()).hex(),
    }


if __name__ == "__main__":
    write("packages", generate())
