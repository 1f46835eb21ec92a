"""What all lanes of one campaign share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from auditor_client.answering import OnText
from auditor_client.campaign_state import Ending, Item
from auditor_client.cosigning import Cosigner
from auditor_client.engagement import Engagement
from auditor_client.intending import Question, Randomness
from auditor_client.ports import Clock, Journal, Lab


@dataclass(frozen=True)
class Patience:
    """How long to wait for a lab, in seconds."""

    answer: float = 30.0  # for a Promise, a grant or the next step of an answered exchange
    first_retry: float = 0.1
    longest_retry: float = 10.0
    give_up: float = 900.0  # without any progress at all


Ask = Callable[[Item, Sequence[bytes]], Question | None]
"""What an item asks next, after these answers of its present attempt; None once it needs no more."""


async def nothing_comes() -> bool:
    """Tell that what is not waiting now will not come: a schedule is all there from the beginning."""
    return False


@dataclass(repr=False)
class Desk:
    """What all lanes of one campaign share."""

    engagement: Engagement
    lab: Lab
    journal: Journal
    clock: Clock
    cosigner: Cosigner
    randomness: Randomness
    question: Ask
    link_key: bytes
    max_attempts: int
    tls: str
    patience: Patience
    may_begin: Callable[[], bool]
    next_item: Callable[[], Item | None]
    return_item: Callable[[Item], None]
    on_ended: Callable[[Ending], None]
    on_text: OnText | None = None
    wait: Callable[[], Awaitable[bool]] = nothing_comes  # until `next_item` is worth another try; False ends a lane
