"""What shows anyone that a log's larger tree does not begin with its smaller one, and that nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from attestations.checkpoint import Checkpoint, is_fork, prove_fork
from attestations.errors import CheckpointInvalid, ConsistencyProofInvalid, SafeconductError
from attestations.merkle import Tree, leaf_hash

ORIGIN = "lab.example/safeconduct/1"
LEAVES = [leaf_hash(bytes([number])) for number in range(20)]
TREE = Tree(LEAVES)


def checkpoint(size: int, tree: Tree = TREE, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, tree.root(size))


@pytest.mark.parametrize("changed", [0, 3, 6])
def test_every_split_view_can_be_shown(changed: int) -> None:
    other = Tree([*LEAVES[:changed], leaf_hash(b"another"), *LEAVES[changed + 1 :]])
    for old in range(changed + 1, 20):
        for new in range(old + 1, 21):
            shown = prove_fork(TREE, checkpoint(old, other), checkpoint(new))
            assert shown is not None
            assert is_fork(checkpoint(old, other), checkpoint(new), prefix_root=shown[0], proof=shown[1])


def test_one_history_is_never_a_fork() -> None:
    for old in range(1, 20):
        for new in range(old + 1, 21):
            assert prove_fork(TREE, checkpoint(old), checkpoint(new)) is None
            proof = TREE.consistency(old, new)
            assert not is_fork(checkpoint(old), checkpoint(new), prefix_root=TREE.root(old), proof=proof)


@settings(max_examples=300)
@given(data=st.data())
def test_no_invented_proof_makes_an_honest_log_fork(data: st.DataObject) -> None:
    """A tree has one root at each size, so a proof of another root cannot hold."""
    old = data.draw(st.integers(1, 19))
    new = data.draw(st.integers(old + 1, 20))
    nodes = st.sampled_from([*LEAVES, *(TREE.root(size) for size in range(1, 21)), *TREE.consistency(old, new)])
    root, proof = data.draw(nodes), data.draw(st.lists(nodes | st.binary(min_size=32, max_size=32), max_size=7))
    if data.draw(st.booleans()):
        proof = list(TREE.consistency(old, new))
    try:
        assert not is_fork(checkpoint(old), checkpoint(new), prefix_root=root, proof=proof)
    except SafeconductError:
        return


def test_a_proof_from_another_tree_is_refused() -> None:
    other = Tree([leaf_hash(b"another"), *LEAVES[1:]])
    with pytest.raises(ConsistencyProofInvalid):
        is_fork(checkpoint(7), checkpoint(12), prefix_root=other.root(7), proof=other.consistency(7, 12))
    with pytest.raises(CheckpointInvalid):
        prove_fork(other, checkpoint(7), checkpoint(12))


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 5), (7, 5)])
def test_sizes_that_do_not_order_two_trees_show_nothing(old: int, new: int) -> None:
    with pytest.raises(CheckpointInvalid):
        prove_fork(TREE, checkpoint(old), checkpoint(new))
    with pytest.raises(CheckpointInvalid):
        is_fork(checkpoint(old), checkpoint(new), prefix_root=TREE.root(5), proof=())


def test_checkpoints_of_two_logs_do_not_fork() -> None:
    with pytest.raises(CheckpointInvalid):
        prove_fork(TREE, checkpoint(7, origin="other.example"), checkpoint(12))
