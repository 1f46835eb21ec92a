"""The numbers of auxiliary exchanges: each is used once, and one that was never promised is used again."""

from __future__ import annotations

import heapq

from auditor_client.ports import Journal


class Numbers:
    """Gives the numbers of one purpose, smallest first, after those the journal holds."""

    def __init__(self, journal: Journal, purpose: str) -> None:
        taken = journal.auxiliary(purpose)
        pending = [journal.pending(session.name) for session in journal.sessions()]
        begun = {item.item.epoch for item in pending if item is not None and item.item.purpose == purpose}
        self._next = len(taken)
        self._unused = [item.epoch for item in taken if item.state == "WAITING" and item.epoch not in begun]

    def take(self) -> int:
        """Return the next number."""
        number = heapq.heappop(self._unused) if self._unused else self._next
        self._next = max(self._next, number + 1)
        return number

    def give_back(self, number: int) -> None:
        """Take back a number that no Promise was made for."""
        heapq.heappush(self._unused, number)
