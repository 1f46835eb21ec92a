"""Which items are for development and which for the test, decided by a seed; clusters are kept whole."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from fractions import Fraction

from attestations.digests import lp

_KEY_BYTES = 16


class Splitter:
    """Takes items one by one and keeps a few bytes of each.

    Items of one cluster (a template, or the same text) end on one side, whatever their category: a model tuned on
    one of them has seen the others.
    """

    def __init__(self) -> None:
        self._clusters: dict[bytes, int] = {}
        self._of_item = array("L")
        self._sizes = array("L")
        self._categories: list[str] = []
        self._seen: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._of_item)

    @property
    def categories(self) -> list[str]:
        """Every category seen, in the order of first sight."""
        return list(self._seen)

    def add(self, category: str, cluster: str) -> None:
        """Take the next item."""
        self._seen.setdefault(category)
        key = hashlib.sha256(cluster.encode(errors="surrogatepass")).digest()[:_KEY_BYTES]
        number = self._clusters.setdefault(key, len(self._clusters))
        if number == len(self._sizes):
            self._sizes.append(0)
            self._categories.append(category)  # the one in which the cluster was first seen
        self._sizes[number] += 1
        self._of_item.append(number)

    def is_dev(self, *, seed: str, share: Fraction) -> bytearray:
        """Return 1 for every item that is for development, in the order they were added.

        In each category clusters go to development in the order of their keyed hashes, as long as no more than
        `share` of its items are there; so the same items and the same seed give the same split on every machine.
        """
        by_category: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
        totals: dict[str, int] = defaultdict(int)
        for key, number in self._clusters.items():
            category = self._categories[number]
            order = hashlib.sha256(b"safeconduct/v1 split" + lp(seed.encode()) + key).digest()
            by_category[category].append((order, number))
            totals[category] += self._sizes[number]
        chosen = bytearray(len(self._sizes))
        for category, clusters in by_category.items():
            room = int(share * totals[category])
            for _, number in sorted(clusters):
                if self._sizes[number] <= room:
                    room -= self._sizes[number]
                    chosen[number] = 1
        return bytearray(chosen[number] for number in self._of_item)
