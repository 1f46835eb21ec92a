"""Group commit: many waiting transactions become durable with one flush of the disk.

One thread owns the writing connection. Whoever waits while a commit runs shares the next one, so the cost
of `synchronous=FULL` is divided among the exchanges that are under way.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future

from attestations.errors import StoreFailed

Work = Callable[[sqlite3.Connection], None]
_MOST_AT_ONCE = 256


class Writer:
    """A thread that runs writes in the order they were given."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take over a connection opened with `check_same_thread=False` and no implicit transactions."""
        self._connection = connection
        self._queue: queue.SimpleQueue[tuple[Work, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Work) -> None:
        """Run `work` in a transaction and return once it is durable.

        Raises:
            StoreFailed: the transaction did not become durable; nothing of it remains.
        """
        done: Future[None] = Future()
        self._queue.put((work, done))
        await asyncio.wrap_future(done)

    def close(self) -> None:
        """Finish what was given and stop."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            batch = [item]
            stop = False
            while len(batch) < _MOST_AT_ONCE:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                    break
                batch.append(following)
            self._commit(batch)
            if stop:
                return

    def _commit(self, batch: list[tuple[Work, Future[None]]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work, _ in batch:
                work(self._connection)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if self._connection.in_transaction:
                try:
                    self._connection.execute("ROLLBACK")
                except sqlite3.Error:
                    # The file cannot even be read: the next transaction will say so again.
                    pass
            # Later work may rest on what failed: everything in the batch fails alike.
            failure = StoreFailed(f"the store could not make a change durable: {error}")
            for _, done in batch:
                done.set_exception(failure)
            return
        for _, done in batch:
            done.set_result(None)
