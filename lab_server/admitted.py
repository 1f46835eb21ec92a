"""An auditor this lab deals with, and how it decides on what that auditor offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from attestations.documents.agreement import Terms
from attestations.identity import Identity

Review = Literal["automatic", "outside_terms", "manual"]
LONGEST_OFFER_HOURS = 24  # a longer lock would let an offeror hold the lab's signature (protocol study 4.3)


@dataclass(frozen=True)
class Admitted:
    """Who it is, its TLS key, the terms for it, and who decides: the program, or a person.

    `review` is `automatic` (what is within the terms is accepted at once, the rest refused), `outside_terms` (the rest
    waits for a person) or `manual` (everything does). An offer may be valid for at most `offer_hours`.
    """

    identity: Identity
    tls: str
    terms: Callable[[], Awaitable[Terms]]
    review: Review = "automatic"
    offer_hours: int = LONGEST_OFFER_HOURS
