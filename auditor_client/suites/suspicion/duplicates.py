"""Items that are the same, nearly the same, or contradict each other, found in linear time with little memory an item.

Near duplicates are found by MinHash signatures over shingles of words, grouped by bands (Broder 1997; Leskovec et
al., Mining of Massive Datasets, chapter 3).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

PERMUTATIONS, BAND_ROWS = 96, 4
NEAR = 0.8  # estimated share of shingles in common; the estimate's standard error is 0.04
_SHINGLE_WORDS = 3
_MAX_WORDS = 1000  # of one item; what lies beyond is not compared
_WORD = re.compile(r"\w+|[^\w\s]")
_KEY_BYTES = 16
_RANDOM = np.random.Generator(np.random.PCG64(20240607))  # the same permutations everywhere: findings can be repeated
_FACTORS = _RANDOM.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) | np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)

Signature = npt.NDArray[np.uint32]


class Texts:
    """Takes items one by one: what is asked, and what is right."""

    def __init__(self) -> None:
        self._asked: dict[bytes, list[int]] = defaultdict(list)
        self._right: list[bytes] = []
        self._keys: list[bytes] = []
        self._signatures = array("I")

    def add(self, question: str, options: Sequence[str], right: str) -> None:
        """Take the next item; the order of options does not matter."""
        words = _WORD.findall(" ".join((question, *sorted(options))).casefold())
        key = _digest(" ".join(words))
        self._asked[key].append(len(self._keys))
        self._keys.append(key)
        self._right.append(_digest(" ".join(right.casefold().split())))
        self._signatures.frombytes(signature(words[:_MAX_WORDS]).tobytes())

    def same(self) -> Iterator[tuple[list[int], bool]]:
        """Give every group of items that ask the same, and whether they also agree on what is right."""
        for group in self._asked.values():
            if len(group) > 1:
                yield group, len({self._right[item] for item in group}) == 1

    def near(self) -> list[list[int]]:
        """Return every group of items that are nearly the same, and not only the same."""
        many = len(self._keys)
        signatures = np.frombuffer(self._signatures, dtype=np.uint32).reshape(many, PERMUTATIONS)
        groups = _Groups(many)
        for left, right in _candidates(signatures):
            alike = (signatures[left] == signatures[right]).mean(axis=1) >= NEAR
            for one, other in zip(left[alike].tolist(), right[alike].tolist(), strict=True):
                groups.join(one, other)
        return [group for group in groups.all() if len({self._keys[item] for item in group}) > 1]


def signature(words: Sequence[str]) -> Signature:
    """Return the MinHash signature of a text's shingles."""
    shingles = {
        zlib.crc32(" ".join(words[at : at + _SHINGLE_WORDS]).encode(errors="surrogatepass"))
        for at in range(max(1, len(words) - _SHINGLE_WORDS + 1))
    }
    hashed = np.fromiter(shingles, dtype=np.uint64, count=len(shingles))
    # Multiply-shift hashing: the upper half of a product that wraps around.
    permuted = hashed[:, None] * _FACTORS[None, :] + _SHIFTS[None, :]
    smallest: Signature = (permuted >> np.uint64(32)).min(axis=0).astype(np.uint32)
    return smallest


def _candidates(signatures: Signature) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    # Items that agree in a whole band are neighbours once the band is sorted. Only neighbours are compared: a thousand
    # items of one template give a thousand pairs, not half a million.
    for start in range(0, PERMUTATIONS, BAND_ROWS):
        band = np.ascontiguousarray(signatures[:, start : start + BAND_ROWS]).view(np.uint64)
        order = np.lexsort((band[:, 1], band[:, 0]))
        kept = band[order]
        same = np.nonzero((kept[1:] == kept[:-1]).all(axis=1))[0]
        for at in range(0, len(same), 4096):
            part = same[at : at + 4096]
            yield order[part], order[part + 1]


class _Groups:
    """Union-find over item numbers."""

    def __init__(self, many: int) -> None:
        self._parents = list(range(many))

    def _root(self, item: int) -> int:
        while self._parents[item] != item:
            self._parents[item] = self._parents[self._parents[item]]
            item = self._parents[item]
        return item

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self._root(one), self._root(other)))
        self._parents[high] = low

    def all(self) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parents)):
            found[self._root(item)].append(item)
        return [group for group in found.values() if len(group) > 1]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:_KEY_BYTES]
