"""What a campaign is made of, as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from attestations.commitments import aux_handle, handle

_AUXILIARY = "aux "  # before the purpose, where others have their arm: no arm holds a space


@dataclass(frozen=True)
class Item:
    """One thing the plan asks of the model: a task in an arm, in one of its epochs.

    `attempt` is the number of the present attempt, or of the last one; `state` is WAITING, DONE (answered),
    or FAILED (every attempt ended without an answer).
    """

    task: int
    arm: str
    epoch: int
    attempt: int = 0
    state: str = "WAITING"

    @property
    def purpose(self) -> str | None:
        """Why this exchange belongs to no scheduled task, or None if it does."""
        return self.arm.removeprefix(_AUXILIARY) if self.arm.startswith(_AUXILIARY) else None

    def handle(self, link_key: bytes) -> str:
        """Return the name under which the lab sees the item's present attempt."""
        if self.purpose is not None:
            return aux_handle(link_key, purpose=self.purpose, number=self.task)
        return handle(link_key, task=self.task, arm=self.arm, epoch=self.epoch, attempt=self.attempt)


def auxiliary(purpose: str, number: int) -> Item:
    """Return the item of an exchange that belongs to no scheduled task: the `number`-th of its purpose."""
    return Item(number, _AUXILIARY + purpose, 0)


@dataclass(frozen=True)
class Session:
    """A lane of exchanges: the next sequence number and what its Intent must follow (None before the grant)."""

    name: str
    opening: bytes
    prev: str | None = None
    next_seq: int = 0


@dataclass(frozen=True, repr=False)
class Pending:
    """An Intent that is durable here, with all that is needed to carry it through after a crash."""

    session: str
    seq: int
    item: Item
    intended_at: datetime
    intent: bytes
    request: bytes
    sealed: bytes
    seed_share: bytes
    response_key: bytes
    request_salt: bytes


@dataclass(frozen=True, repr=False)
class Ending:
    """How an exchange ended: its terminal document, and the answer where there is one."""

    session: str
    seq: int
    digest: str
    promise: bytes | None
    document: bytes
    status: str
    code: str | None
    result: bytes | None
    item: Item


@dataclass(frozen=True, repr=False)
class Exchange:
    """One finished exchange as the journal holds it."""

    session: str
    seq: int
    item: Item
    intent: bytes
    promise: bytes | None
    document: bytes
    status: str
    code: str | None
    request: bytes
    request_salt: bytes
    response_key: bytes
    result: bytes | None


class Held(NamedTuple):
    """The signed bytes at one place of a session; None for what has not come yet."""

    intent: bytes
    promise: bytes | None
    document: bytes | None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Progress(NamedTuple):
    """How far a campaign is, in items."""

    total: int
    done: int
    failed: int
