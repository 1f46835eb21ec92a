"""Vectors for verifiable sharing: commitments, shares, their public points, the wrapped class key and a proof."""

from __future__ import annotations

from typing import Any

from attestations.escrow.binding import Place, prove, wrap
from attestations.escrow.sharing import deal, random_scalar, scalar_bytes, share_point
from tests.support.fixed_keys import suite_key
from tests.support.world_escrow import randomness
from tests.vectors.families import write

AGREEMENT, MANIFEST, CHALLENGE = "0a" * 32, "0b" * 32, "00" * 32


def generate() -> Any:
    """Return the vectors: two groups joined by AND, 1 of 1 and 2 of 3."""
    give = randomness("escrow vectors")
    secrets, groups = [], []
    for number, (need, holders) in enumerate(((1, 1), (2, 3))):
        secret = random_scalar(give)
        dealing = deal(secret, need=need, holders=holders, randomness=give)
        secrets.append(secret)
        shares = []
        for index, share in enumerate(dealing.shares, start=1):
            place, holder = Place("assisted", number, index), f"holder-{number}-{index}"
            proof = prove(share, manifest=MANIFEST, place=place, holder=holder, challenge=CHALLENGE)
            shares.append(
                {
                    "holder": holder,
                    "share": scalar_bytes(share).hex(),
                    "point": share_point(dealing.commitments, index),
                    "proof": proof.hex(),
                }
            )
        groups.append({"secret": scalar_bytes(secret).hex(), "commitments": dealing.commitments, "shares": shares})
    key = suite_key().class_key("C2")
    wrapped = wrap(secrets, key.secret, agreement=AGREEMENT, content_class="C2", branch="assisted")
    return {
        "agreement": AGREEMENT,
        "manifest": MANIFEST,
        "challenge": CHALLENGE,
        "class": "C2",
        "branch": "assisted",
        "classKey": key.secret.hex(),
        "keyCommitment": key.commitment(),
        "groups": groups,
        "wrapped": wrapped.hex(),
    }


if __name__ == "__main__":
    write("escrow", generate())
