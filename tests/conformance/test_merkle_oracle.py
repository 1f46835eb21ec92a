"""scitt-cose, which shares no code with us, computes the same roots and proofs and accepts ours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import scitt_cose

from attestations.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from attestations.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from tests.support.fixed_keys import ed25519_signer

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 33, 100)


def entries(size: int) -> list[bytes]:
    return [f"leaf {number}".encode() for number in range(size)]


def hexes(values: Sequence[bytes]) -> list[str]:
    return [value.hex() for value in values]


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_root_and_every_inclusion_proof_hold_there(size: int) -> None:
    leaves = entries(size)
    tree = Tree(map(leaf_hash, leaves))
    signer = ed25519_signer("lab")
    note = sign_checkpoint(Checkpoint("lab.example/log", size, tree.root()), signer)
    root = open_checkpoint(note, origin="lab.example/log", log_key=signer.key).root.hex()
    assert scitt_cose.merkle_root(hexes(leaves)) == root
    for index, leaf in enumerate(leaves):
        assert scitt_cose.verify_inclusion(leaf.hex(), index, size, hexes(tree.inclusion(index, size)), root)


@pytest.mark.parametrize("size", SIZES)
def test_its_proofs_hold_here_and_equal_ours(size: int) -> None:
    leaves = entries(size)
    tree = Tree(map(leaf_hash, leaves))
    for index, leaf in enumerate(leaves):
        proof = [bytes.fromhex(item) for item in scitt_cose.inclusion_proof(hexes(leaves), index)]
        assert tuple(proof) == tree.inclusion(index, size)
        verify_inclusion(leaf=leaf_hash(leaf), index=index, size=size, proof=proof, root=tree.root())


@pytest.mark.parametrize("size", SIZES)
def test_consistency_proofs_are_the_same_and_hold_on_both_sides(size: int) -> None:
    leaves = entries(size)
    tree = Tree(map(leaf_hash, leaves))
    for old in range(1, size + 1):
        ours = tree.consistency(old, size)
        assert hexes(ours) == scitt_cose.consistency_proof(hexes(leaves), old, size)
        assert scitt_cose.verify_consistency(tree.root(old).hex(), tree.root().hex(), old, size, hexes(ours))
        verify_consistency(old_size=old, old_root=tree.root(old), new_size=size, new_root=tree.root(size), proof=ours)
