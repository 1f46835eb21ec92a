"""A growing log: Tree, Frontier and the naive root never disagree, and every proof of the past keeps holding."""

from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from attestations.merkle import Frontier, Tree, leaf_hash, verify_consistency, verify_inclusion
from tests.support.naive_merkle import naive_root


class GrowingLog(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.frontier = Frontier()
        self.leaves: list[bytes] = []
        self.held: list[tuple[int, bytes]] = []

    @rule(data=st.lists(st.binary(max_size=4), min_size=1, max_size=9))
    def append(self, data: list[bytes]) -> None:
        for item in data:
            assert len(self.leaves) == self.tree.append(leaf_hash(item))
            self.frontier.append(leaf_hash(item))
            self.leaves.append(leaf_hash(item))

    @precondition(lambda self: self.leaves)
    @rule()
    def hold_a_checkpoint(self) -> None:
        self.held.append((self.tree.size, self.tree.root()))

    @precondition(lambda self: self.leaves)
    @rule(data=st.data())
    def prove_a_leaf(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, len(self.leaves)))
        index = data.draw(st.integers(0, size - 1))
        verify_inclusion(
            leaf=self.leaves[index],
            index=index,
            size=size,
            proof=self.tree.inclusion(index, size),
            root=naive_root(self.leaves[:size]),
        )

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def extend_a_held_checkpoint(self, data: st.DataObject) -> None:
        size, root = data.draw(st.sampled_from(self.held))
        verify_consistency(
            old_size=size,
            old_root=root,
            new_size=self.tree.size,
            new_root=self.frontier.root(),
            proof=self.tree.consistency(size, self.tree.size),
        )

    @invariant()
    def all_agree(self) -> None:
        assert naive_root(self.leaves) == self.tree.root() == self.frontier.root()
        assert len(self.leaves) == self.tree.size == self.frontier.size


TestGrowingLog = GrowingLog.TestCase
TestGrowingLog.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
