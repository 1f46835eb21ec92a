"""The store opened by commands that only look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from attestations.errors import FileUnusable
from lab_server.home import Home
from lab_server.storage.sqlite import SqliteStore


class NoClock:
    """Who only reads needs no time."""

    def now(self) -> datetime:
        """Never called."""
        raise RuntimeError("reading needs no time")


@asynccontextmanager
async def reading_store(home: Home) -> AsyncIterator[SqliteStore]:
    """Open the lab's store for a while.

    Raises:
        FileUnusable: nothing has been served yet.
    """
    if not home.store.exists():
        raise FileUnusable(f"{home.store} does not exist: nothing has been served yet", path=str(home.store))
    store = SqliteStore(home.store)
    try:
        yield store
    finally:
        await store.close()
