"""The signed documents that exist only for disputes: a party's denial, and what a relay saw.

`docs/spec/adjudication.md` is the normative page.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from attestations.digests import Sha256
from attestations.documents.base import Document, Time, parse_time


class Denial(Document):
    """A party's word that a document said to be its own is not. Signed by its agreement key."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.denial.v1+json"

    agreement: Sha256
    document: Sha256
    stated_at: Time


class RelayReceipt(Document):
    """What the agreed relay saw: a document it put before the lab, and what the lab left there by then.

    Signed by the relay's key once `until` has passed or an answer is there. The relay judges nothing: an answer
    is whatever envelope bears a signature by one of the lab's keys.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.relay-receipt.v1+json"

    agreement: Sha256
    put: Sha256
    put_at: Time
    until: Time
    answer: Sha256 | None
    signed_at: Time

    @model_validator(mode="after")
    def _in_order(self) -> RelayReceipt:
        put, until, signed = (parse_time(time) for time in (self.put_at, self.until, self.signed_at))
        if not put < until or signed < put or (self.answer is None and signed < until):
            raise ValueError("a relay's times run backwards, or it did not wait")
        return self
