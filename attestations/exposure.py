"""The test of randomised exposure: were items that a lab has seen learnt, beyond what chance explains?

Items are split at random before the first audit; one part is sent, the other kept. If nothing was learnt from the
first, the split is still random at the next audit, and the permutation test is exact whatever the items are. Right
and wrong answers permuted over two parts follow the hypergeometric distribution (Fisher 1935), so that no sampling
is needed.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb


def exposure_p(exposed_right: int, exposed: int, kept_right: int, kept: int) -> Fraction:
    """Return the exact one-sided probability, had nothing been learnt, of as many right answers among the exposed.

    Raises:
        ValueError: more right answers than items.
    """
    if not 0 <= exposed_right <= exposed or not 0 <= kept_right <= kept:
        raise ValueError("right answers lie between 0 and the number of items")
    right = exposed_right + kept_right
    ways = sum(comb(exposed, x) * comb(kept, right - x) for x in range(exposed_right, min(exposed, right) + 1))
    return Fraction(ways, comb(exposed + kept, right))
