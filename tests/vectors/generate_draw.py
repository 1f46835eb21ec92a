"""Vectors for draws: shares, a beacon, the seed and what is drawn from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attestations.checkpoint import Checkpoint, cosign, cosignature, sign_checkpoint
from attestations.draw import HmacDrbg, draw, draw_seed, share_commitment
from attestations.keys import KeyUse
from attestations.merkle import leaf_hash
from tests.support.fixed_keys import ed25519_signer, secret
from tests.vectors.families import write

ROOT = "ab" * 32
BANKS = [(list(range(10)), 3), (list(range(0, 512, 2)), 20), ([7], 1)]


def generate() -> Any:
    """Return the vectors."""
    lab, auditor = ed25519_signer("lab"), ed25519_signer("auditor", KeyUse.COSIGN)
    signed = sign_checkpoint(Checkpoint("lab.example/safeconduct/1", 1, leaf_hash(b"registration")), lab)
    note = cosign(signed, name="auditor/cosign", signer=auditor, at=datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC))
    made = cosignature(note, name="auditor/cosign", key=auditor.key) or b""
    shares = {"auditor": secret("auditor's share"), "lab": secret("lab's share")}
    seed = draw_seed(suite_root=ROOT, auditor_share=shares["auditor"], lab_share=shares["lab"], beacon=made)
    source = HmacDrbg(seed)
    return {
        "suiteRoot": ROOT,
        **{side: {"share": share.hex(), "commitment": share_commitment(share)} for side, share in shares.items()},
        "note": note.to_text(),
        "beacon": made.hex(),
        "seed": seed.hex(),
        "firstKeys": [source.generate(32).hex() for _ in range(3)],
        "draws": [{"bank": bank, "count": count, "drawn": list(draw(seed, bank, count))} for bank, count in BANKS],
    }


if __name__ == "__main__":
    write("draw", generate())
