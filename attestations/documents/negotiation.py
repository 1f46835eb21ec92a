"""What lab and auditor say to each other until an agreement is in force, while it is amended, and when it ends.

`docs/spec/agreement.md` is the normative page. Each document is signed by the agreement key of the side it is by.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from attestations.digests import Sha256
from attestations.documents.agreement import Agreement
from attestations.documents.base import Document, Name, Time

MAX_REASON = 2000
Grounds = Literal["both", "clause"]


class Offer(Document):
    """A full proposal by either side, never a change; the newest one of the engagement is on the table.

    `n` counts from 0 and `previous` is the digest of the offer this one answers or replaces; offer 0 has none.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.offer.v1+json"

    n: int = Field(ge=0, le=1_000_000)
    previous: Sha256 | None
    valid_until: Time
    body: Agreement


class Accept(Document):
    """A signature lock: until `valid_until` its signer signs nothing else for this engagement."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.accept.v1+json"

    engagement: Name
    offer: Sha256
    agreement: Sha256
    valid_until: Time


class Withdraw(Document):
    """Takes an offer of one's own off the table."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.withdraw.v1+json"

    engagement: Name
    offer: Sha256
    withdrawn_at: Time


class Reject(Document):
    """Declines the other side's offer, with a reason a person can read."""

    payload_type: ClassVar[str] = "application/vnd.safeconduct.reject.v1+json"

    engagement: Name
    offer: Sha256
    reason: str = Field(default="", max_length=MAX_REASON)
    rejected_at: Time


class Termination(Document):
    """Ends the access an agreement gives; what it obliges to survives. Signed by both, or by one if a clause says so.

    `agreement` names the engagement, `in_force` the agreement as last amended. After `effective_at` nothing new is
    promised; the close, the packages and every release stay owed.
    """

    payload_type: ClassVar[str] = "application/vnd.safeconduct.termination.v1+json"

    agreement: Sha256
    in_force: Sha256
    grounds: Grounds
    reason: str = Field(default="", max_length=MAX_REASON)
    effective_at: Time
    stated_at: Time
