"""Keeps what one sandbox's programs have us read to a small part of our time: other sessions share the loop."""

from __future__ import annotations

import asyncio

_RESTS = 9  # times as long as was worked: a tenth of the time at most


class Pace:
    """Entered for every piece of work without an await; one at a time, each followed by a rest in proportion."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._began = 0.0

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        self._began = asyncio.get_running_loop().time()

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.sleep(_RESTS * (asyncio.get_running_loop().time() - self._began))
        finally:
            self._turn.release()
