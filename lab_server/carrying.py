"""Carries out what a person has decided beside the gateway: only the holder of a log may put anything into it."""

from __future__ import annotations

import json
from typing import Any, Protocol

from attestations.envelope import Envelope, parse_envelope
from attestations.errors import SafeconductError, StoreFailed
from attestations.negotiation.messages import Sides, Terminated, parse_message
from lab_server.ports import Store, StoredWish

DONE = "done"


class Doing(Protocol):
    """What the use case can do in the lab's name."""

    async def conclude_ours(self, auditor: str, engagement: str) -> Envelope:
        """Conclude an offer of the lab that the auditor has accepted."""
        ...

    async def end_ours(self, auditor: str, message: Terminated) -> Envelope | None:
        """Log a termination the lab has signed."""
        ...

    def sides_of(self, auditor: str) -> Sides:
        """Return both sides' agreement keys."""
        ...


def conclude_wish(name: str) -> StoredWish:
    """Return the wish to conclude what the auditor has accepted."""
    return StoredWish(name, json.dumps({"do": "conclude"}).encode(), None)


def terminate_wish(name: str, message: Terminated) -> StoredWish:
    """Return the wish to log a termination."""
    text = message.envelope.to_bytes().decode()
    return StoredWish(name, json.dumps({"do": "terminate", "document": text}).encode(), None)


class Carrying:
    """Answers wishes one by one."""

    def __init__(self, *, store: Store, negotiating: Doing) -> None:
        self._store = store
        self._negotiating = negotiating

    async def carry_out(self) -> list[str]:
        """Carry out every wish that has no answer yet and return their names.

        Raises:
            StoreFailed: the store cannot be read or written.
        """
        waiting = [wish for wish in await self._store.wishes() if wish.answer is None]
        for wish in waiting:
            try:
                await self._do(wish)
                answer = DONE
            except StoreFailed:
                raise
            except SafeconductError as error:
                answer = f"{error.reason} {error.message}"
            await self._store.save_wish(wish._replace(answer=answer))
        return [wish.name for wish in waiting]

    async def _do(self, wish: StoredWish) -> None:
        auditor, engagement = wish.name.split(" ", 1)
        value: dict[str, Any] = json.loads(wish.wish)
        if value["do"] == "conclude":
            await self._negotiating.conclude_ours(auditor, engagement)
            return
        document = parse_envelope(value["document"].encode())
        message = parse_message("lab", [document], self._negotiating.sides_of(auditor))
        assert isinstance(message, Terminated)  # noqa: S101 - we wrote it
        await self._negotiating.end_ours(auditor, message)
