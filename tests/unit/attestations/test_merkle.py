"""Trees, roots and proofs against a naive reading of RFC 9162."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, strategies as st

from attestations.errors import ConsistencyProofInvalid, InclusionProofInvalid
from attestations.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    leaf_hash,
    merkle_root,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.support.naive_merkle import naive_root

LEAVES = [leaf_hash(str(number).encode()) for number in range(70)]
sizes = st.integers(1, 70)


def test_the_empty_tree_has_the_root_of_rfc_9162() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT == Frontier().root() == Tree().root() == merkle_root([])


def test_a_leaf_never_passes_for_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert hashlib.sha256(b"\x00" + left + right).digest() == leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", range(71))
def test_frontier_and_tree_have_the_naive_root_at_every_size(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    expected = naive_root(LEAVES[:size])
    assert expected == frontier.root() == Tree(LEAVES).root(size) == merkle_root(LEAVES[:size])
    assert size == frontier.size


@given(size=sizes, data=st.data())
def test_every_leaf_is_proved_and_no_other_place_is(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tree = Tree(LEAVES)
    proof, root = tree.inclusion(index, size), tree.root(size)
    verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=proof, root=root)
    other = data.draw(st.integers(0, size + 2).filter(lambda place: place != index))
    with pytest.raises(InclusionProofInvalid):
        verify_inclusion(leaf=LEAVES[index], index=other, size=size, proof=proof, root=root)


@given(size=st.integers(2, 70), data=st.data())
def test_a_damaged_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tree = Tree(LEAVES)
    proof, root = list(tree.inclusion(index, size)), tree.root(size)
    place = data.draw(st.integers(0, len(proof) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                [*proof, bytes(32)],
                proof[:-1],
                [*proof[:place], bytes(32), *proof[place + 1 :]],
                [*proof[:place], b"short", *proof[place + 1 :]],
            ]
        )
    )
    with pytest.raises(InclusionProofInvalid):
        verify_inclusion(leaf=LEAVES[index], index=index, size=size, proof=damaged, root=root)


@given(old=sizes, new=sizes)
def test_every_tree_extends_each_of_its_beginnings(old: int, new: int) -> None:
    old, new = sorted((old, new))
    tree = Tree(LEAVES)
    proof = tree.consistency(old, new)
    verify_consistency(old_size=old, old_root=tree.root(old), new_size=new, new_root=tree.root(new), proof=proof)


@given(old=sizes, new=sizes, data=st.data())
def test_a_tree_with_a_changed_or_missing_early_leaf_extends_nothing(old: int, new: int, data: st.DataObject) -> None:
    old, new = sorted((old, new))
    changed = data.draw(st.integers(0, old - 1))
    honest = Tree(LEAVES)
    others = [
        Tree([*LEAVES[:changed], leaf_hash(b"another"), *LEAVES[changed + 1 :]]),
        Tree([*LEAVES[:changed], *LEAVES[changed + 1 :], leaf_hash(b"more")]),
    ]
    for other in others:
        with pytest.raises(ConsistencyProofInvalid):
            verify_consistency(
                old_size=old,
                old_root=honest.root(old),
                new_size=new,
                new_root=other.root(new),
                proof=other.consistency(old, new),
            )


def test_nothing_is_proved_from_an_empty_tree_or_backwards() -> None:
    tree = Tree(LEAVES)
    for old, new in [(0, 5), (5, 4)]:
        with pytest.raises(ConsistencyProofInvalid):
            verify_consistency(old_size=old, old_root=tree.root(old), new_size=new, new_root=tree.root(new), proof=())


def test_a_tree_gives_no_proof_for_what_it_never_held() -> None:
    tree = Tree(LEAVES[:5])
    for ask in (lambda: tree.root(6), lambda: tree.inclusion(5, 5), lambda: tree.inclusion(0, 6)):
        with pytest.raises(ValueError, match="tree"):
            ask()
    for old, new in [(3, 2), (-1, 2), (1, 6)]:
        with pytest.raises(ValueError, match="tree"):
            tree.consistency(old, new)
    assert tree.consistency(0, 5) == ()
