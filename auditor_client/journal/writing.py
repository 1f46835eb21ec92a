"""Group commit: a single thread makes all changes, so that lanes share each flush to disk."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from attestations.errors import StoreFailed
from attestations.files import because

Change = Callable[[sqlite3.Connection], None]
_Waiting = tuple[Change, "asyncio.Future[None]"]


class Writer:
    """Owns the one connection that writes."""

    def __init__(self, db: sqlite3.Connection, *, name: str) -> None:
        """Prepare to write.

        Args:
            db: used by nobody else from `start` to `stop`.
            name: the file, as errors name it.
        """
        self._db = db
        self._name = name
        self._changes: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_all, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to take changes."""
        self._thread.start()

    async def stop(self) -> None:
        """Commit what was asked for, and take no more."""
        self._changes.put(None)
        await asyncio.to_thread(self._thread.join)

    async def commit(self, change: Change) -> None:
        """Make a change and return once it is durable.

        Raises:
            StoreFailed: it, or another change of its group, could not be made; none of them was.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.put((change, done))
        await done

    def _commit_all(self) -> None:
        while (first := self._changes.get()) is not None:
            batch = [first]
            stop = False
            while not self._changes.empty():
                more = self._changes.get()
                if more is None:
                    stop = True
                    break
                batch.append(more)
            failure = self._commit_batch([change for change, _ in batch])
            loop = batch[0][1].get_loop()
            loop.call_soon_threadsafe(_settle, [done for _, done in batch], failure)
            if stop:
                return

    def _commit_batch(self, changes: Sequence[Change]) -> StoreFailed | None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for change in changes:
                change(self._db)
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever one change does, the thread lives and its caller hears of it
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            why = because(error) if isinstance(error, sqlite3.Error | OSError) else type(error).__name__
            return StoreFailed(f"the journal cannot be written: {why}", file=self._name)
        return None


def _settle(waiting: Sequence[asyncio.Future[None]], failure: StoreFailed | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(StoreFailed(failure.message, **failure.facts))
