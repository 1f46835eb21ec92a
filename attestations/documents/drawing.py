"""The signed parts of a draw: the rule in the registration, and what shows it was carried out.

`docs/spec/draw.md` is the normative page.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from attestations.digests import Sha256
from attestations.documents.base import Base64, Document, Part, Time


class DrawRule(Part):
    """How many scored items are drawn from how many; the rest of the bank is never asked.

    `share_commit` is the commitment to the auditor's share; the lab's stands in the registration's receipt.
    """

    bank: int = Field(ge=1, le=1_048_576)
    drawn: int = Field(ge=1)
    share_commit: Sha256

    @model_validator(mode="after")
    def _bank_is_larger(self) -> DrawRule:
        if self.drawn > self.bank:
            raise ValueError("more items are drawn than the bank holds")
        return self


class Draw(Document):
    """The auditor shows its share and fixes the beacon, before it knows the lab's share. Signed by the publication key.

    `beacon` is a checkpoint that holds the registration, with the cosignatures that count (signed-note text). The
    lab's receipt of this document shows the lab's share.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.draw.v1+json"

    agreement: Sha256
    registration: Sha256
    share: Base64
    beacon: str = Field(max_length=8192)
    drawn_at: Time
