"""The lab's signers, one for each use."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.keys import Signer


@dataclass(frozen=True)
class LabKeys:
    """What the lab signs with: agreements, the transcript's documents, and checkpoints."""

    agreement: Signer
    record: Signer
    log: Signer
