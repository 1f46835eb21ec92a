"""Carries out what a person has decided or stated beside the gateway: only one process may write to a log.

Each command leaves a wish in the store and waits for its answer. The gateway answers if it serves, else the command
itself (`lab_server.standing_in`), so that one way leads into a log, whoever takes it.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from attestations.envelope import Envelope, parse_envelope
from attestations.errors import SafeconductError, StoreFailed
from attestations.negotiation.messages import Sides, Terminated, parse_message
from lab_server.ports import Store, StoredWish

DONE = "done"
_STATEMENT = "* "  # no party is called so


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


class Logging(Protocol):
    """What puts a signed statement into the log it belongs to."""

    async def log(self, envelope: Envelope) -> Envelope:
        """Log a statement and return the receipt."""
        ...


def conclude_wish(name: str) -> StoredWish:
    """Return the wish to conclude what the auditor has accepted."""
    return StoredWish(name, json.dumps({"do": "conclude"}).encode(), None)


def terminate_wish(name: str, message: Terminated) -> StoredWish:
    """Return the wish to log a termination."""
    text = message.envelope.to_bytes().decode()
    return StoredWish(name, json.dumps({"do": "terminate", "document": text}).encode(), None)


def statement_wish(envelope: Envelope) -> StoredWish:
    """Return the wish to log a signed statement; it is no negotiation's, so others may wait beside it."""
    wish = json.dumps({"do": "state", "document": envelope.to_bytes().decode()}).encode()
    return StoredWish(f"{_STATEMENT}{envelope.digest}", wish, None)


class Carrying:
    """Answers wishes one by one: `done`, with the receipt of a statement, or the reason and message of an error."""

    def __init__(self, *, store: Store, negotiating: Doing, stating: Logging) -> None:
        self._store = store
        self._negotiating = negotiating
        self._stating = stating

    async def carry_out(self) -> list[str]:
        """Carry out every wish that has no answer yet and return their names.

        Raises:
            StoreFailed: the store cannot be read or written.
        """
        waiting = [wish for wish in await self._store.wishes() if wish.answer is None]
        for wish in waiting:
            try:
                answer = await self._do(wish)
            except StoreFailed:
                raise
            except SafeconductError as error:
                answer = f"{error.reason} {error.message}"
            await self._store.save_wish(wish._replace(answer=answer))
        return [wish.name for wish in waiting]

    async def _do(self, wish: StoredWish) -> str:
        value: dict[str, Any] = json.loads(wish.wish)
        if value["do"] == "state":
            receipt = await self._stating.log(parse_envelope(value["document"].encode()))
            return f"{DONE} {receipt.to_bytes().decode()}"
        auditor, engagement = wish.name.split(" ", 1)
        if value["do"] == "conclude":
            await self._negotiating.conclude_ours(auditor, engagement)
            return DONE
        document = parse_envelope(value["document"].encode())
        message = parse_message("lab", [document], self._negotiating.sides_of(auditor))
        assert isinstance(message, Terminated)  # noqa: S101 - we wrote it
        await self._negotiating.end_ours(auditor, message)
        return DONE
