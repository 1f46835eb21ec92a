"""The public RFC 6962 proofs of transparency-dev/merkle, good and bad, every one of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from attestations.errors import ConsistencyProofInvalid, InclusionProofInvalid
from attestations.merkle import verify_consistency, verify_inclusion

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "vectors" / "merkle"


def vectors(kind: str) -> list[Any]:
    """One parameter a file; one skipped parameter where the shared folder is absent."""
    found = sorted((VECTORS / kind).rglob("*.json"))
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs ../shared/vectors/merkle beside the checkout"))]
    return [pytest.param(path, id=path.relative_to(VECTORS).as_posix()) for path in found]


def decoded(value: str | None) -> bytes:
    return base64.b64decode(value or "")


@pytest.mark.parametrize("path", vectors("inclusion"))
def test_inclusion(path: Path) -> None:
    vector = json.loads(path.read_text("utf-8"))
    arguments: dict[str, Any] = {
        "leaf": decoded(vector["leafHash"]),
        "index": vector["leafIdx"],
        "size": vector["treeSize"],
        "proof": [decoded(item) for item in vector["proof"] or []],
        "root": decoded(vector["root"]),
    }
    if vector["wantErr"]:
        with pytest.raises(InclusionProofInvalid):
            verify_inclusion(**arguments)
    else:
        verify_inclusion(**arguments)


@pytest.mark.parametrize("path", vectors("consistency"))
def test_consistency(path: Path) -> None:
    vector = json.loads(path.read_text("utf-8"))
    arguments: dict[str, Any] = {
        "old_size": vector["size1"],
        "old_root": decoded(vector["root1"]),
        "new_size": vector["size2"],
        "new_root": decoded(vector["root2"]),
        "proof": [decoded(item) for item in vector["proof"] or []],
    }
    if vector["wantErr"]:
        with pytest.raises(ConsistencyProofInvalid):
            verify_consistency(**arguments)
    else:
        verify_consistency(**arguments)


def test_the_vectors_are_all_there() -> None:
    if not VECTORS.is_dir():
        pytest.skip("needs ../shared/vectors/merkle beside the checkout")
    assert len(list(VECTORS.rglob("*.json"))) == 92
