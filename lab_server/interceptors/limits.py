"""How many calls one caller may have under way: a caller that opens more is told so and takes nothing from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attestations.errors import RateLimited
from lab_server.calling import caller
from lab_server.interceptors.around import AroundCall, Context

CALLS_AT_ONCE = 600  # 256 sessions (the most an agreement may grant) may each hold a stream and make another call


class LimitCalls(AroundCall):
    """Refuses calls above a caller's share."""

    def __init__(self, at_once: int = CALLS_AT_ONCE) -> None:
        self._at_once = at_once
        self._under_way: Counter[str] = Counter()

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002 - the port's shape
        """Count one call."""
        name = caller()
        if self._under_way[name] >= self._at_once:
            raise RateLimited("too many calls at once", rule="calls", limit=str(self._at_once))
        self._under_way[name] += 1
        try:
            yield
        finally:
            self._under_way[name] -= 1
            if not self._under_way[name]:
                del self._under_way[name]
