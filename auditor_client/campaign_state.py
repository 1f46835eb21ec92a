"""What a campaign is made of, as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from attestations.commitments import aux_handle, handle

AUXILIARY = -1  # the task of an item that belongs to none


@dataclass(frozen=True, slots=True)
class Item:
    """One thing the plan asks of the model: a task in an arm, in one of its epochs.

    `attempt` is the number of the present attempt, or of the last one, and `step` that of its next exchange, or
    of its last one; `state` is WAITING, DONE (answered), or FAILED (every attempt ended without an answer).
    An auxiliary item has a purpose for its arm and a number for its epoch; one that fails is not tried again.
    """

    task: int
    arm: str
    epoch: int
    attempt: int = 0
    state: str = "WAITING"
    step: int = 0

    @property
    def auxiliary(self) -> bool:
        """Whether the item belongs to no task."""
        return self.task == AUXILIARY

    def handle(self, link_key: bytes) -> str:
        """Return the name under which the lab sees the item's next exchange."""
        if self.auxiliary:
            return aux_handle(link_key, purpose=self.arm, number=self.epoch)
        return handle(link_key, task=self.task, arm=self.arm, epoch=self.epoch, attempt=self.attempt, step=self.step)

    @property
    def purpose(self) -> str | None:
        """Why this exchange belongs to no scheduled task, or None if it does."""
        return self.arm if self.auxiliary else None


def auxiliary(purpose: str, number: int) -> Item:
    """Return the item of an exchange that belongs to no scheduled task: the `number`-th of its purpose."""
    return Item(AUXILIARY, purpose, number)


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


class Step(NamedTuple):
    """One finished exchange of an item: its attempt, its step, and the answer where there is one."""

    attempt: int
    step: int
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
