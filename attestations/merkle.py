"""Merkle trees as RFC 9162 section 2.1 defines them: hashing, roots, proofs and their verification.

`Frontier` keeps O(log n) hashes and can only grow; `Tree` keeps every hash and can prove. Nothing here
knows what a leaf means. `docs/spec/log.md` is the normative page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from attestations.errors import ConsistencyProofInvalid, InclusionProofInvalid

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf's bytes; its prefix keeps a leaf from ever passing for a node."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return _sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, as the roots of its complete subtrees: at most 64 hashes whatever its size."""

    __slots__ = ("_roots", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._roots: list[bytes] = []  # of the complete subtrees, largest first

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return self._size

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf, given as its 32-byte hash."""
        roots, carry = self._roots, self._size
        while carry & 1:
            leaf_hash = _sha256(b"\x01" + roots.pop() + leaf_hash).digest()
            carry >>= 1
        roots.append(leaf_hash)
        self._size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        return _fold(self._roots)


class Tree:
    """A tree in memory that can prove inclusion and consistency for every size it ever had (about 130 bytes a leaf)."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]  # _levels[k][j]: root of the leaves from j * 2^k up to (j + 1) * 2^k
        for item in leaf_hashes:
            self.append(item)

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return len(self._levels[0])

    def append(self, leaf_hash: bytes) -> int:
        """Add one leaf, given as its 32-byte hash, and return its index."""
        levels = self._levels
        index = carry = len(levels[0])
        levels[0].append(leaf_hash)
        height = 0
        while carry & 1:
            level = levels[height]
            leaf_hash = _sha256(b"\x01" + level[-2] + leaf_hash).digest()
            height += 1
            carry >>= 1
            if height == len(levels):
                levels.append([])
            levels[height].append(leaf_hash)
        return index

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all by default).

        Raises:
            ValueError: the tree never had that size.
        """
        size = self.size if size is None else size
        self._check_size(size)
        return self._subtree(0, size)

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of leaf `index` in the tree of `size` leaves, nearest sibling first.

        Raises:
            ValueError: the tree never had that size, or that leaf.
        """
        self._check_size(size)
        if not 0 <= index < size:
            raise ValueError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low = middle
        return tuple(reversed(path))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` leaves extends that of `old`; empty from 0 and for equal sizes.

        Raises:
            ValueError: the tree never had those sizes, or `old` is the larger.
        """
        self._check_size(new)
        if not 0 <= old <= new:
            raise ValueError(f"a tree of {new} leaves does not extend one of {old}")
        if old == 0:
            return ()
        path: list[bytes] = []
        low, high, known = 0, new, True  # known: the verifier holds the root of exactly this subtree
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low, known = middle, False
        if not known:
            path.append(self._subtree(low, high))
        return tuple(reversed(path))

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise ValueError(f"the tree has {self.size} leaves, not {size}")

    def _subtree(self, low: int, high: int) -> bytes:
        # `low` is a multiple of every power of two used here: callers split where RFC 9162 does.
        roots: list[bytes] = []
        while low < high:
            height = (high - low).bit_length() - 1
            roots.append(self._levels[height][low >> height])
            low += 1 << height
        return _fold(roots)


def merkle_root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over leaves given as their hashes."""
    frontier = Frontier()
    for item in leaf_hashes:
        frontier.append(item)
    return frontier.root()


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with hash `leaf` is number `index` of the `size` leaves under `root` (RFC 9162 2.1.3.2).

    Raises:
        InclusionProofInvalid: it is not, or the proof is not one.
    """
    if not 0 <= index < size or not _hashes(leaf, root, *proof):
        raise InclusionProofInvalid("not an inclusion proof", index=str(index), size=str(size))
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InclusionProofInvalid("an inclusion proof that is too long", index=str(index), size=str(size))
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last or computed != root:
        raise InclusionProofInvalid("the leaf is not under the root", index=str(index), size=str(size))


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` leaves begins with exactly the leaves of `old_size` (RFC 9162 2.1.4.2).

    From size 0 nothing can be proved, and the public vectors refuse it: a caller that holds no older
    tree does not call this.

    Raises:
        ConsistencyProofInvalid: it does not, or the proof is not one.
    """
    facts = {"old_size": str(old_size), "new_size": str(new_size)}
    if not 0 < old_size <= new_size or not _hashes(old_root, new_root, *proof):
        raise ConsistencyProofInvalid("not a consistency proof", **facts)
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ConsistencyProofInvalid("two roots of one size differ, or have a proof", **facts)
        return
    # A complete old tree is a node of the new one, so its root stands in for the proof's first element.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise ConsistencyProofInvalid("an empty consistency proof", **facts)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ConsistencyProofInvalid("a consistency proof that is too long", **facts)
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last or old != old_root or new != new_root:
        raise ConsistencyProofInvalid("the newer tree does not extend the older", **facts)


def _split(size: int) -> int:
    """The largest power of two below `size` (at least 2): where RFC 9162 divides a tree."""
    return 1 << (size - 1).bit_length() - 1


def _fold(roots: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that stand side by side, largest first."""
    if not roots:
        return EMPTY_ROOT
    result = roots[-1]
    for position in range(len(roots) - 2, -1, -1):
        result = node_hash(roots[position], result)
    return result


def _hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
