"""Group commit: many waiting transactions become durable with one flush of the disk.

One thread owns the writing connection. Whoever waits while a commit runs shares the next one, so the cost
of `synchronous=FULL` is divided among the exchanges that are under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future

from attestations.errors import StoreFailed
from attestations.files import because

Work = Callable[[sqlite3.Connection], None]
Item = tuple[Work, Future[None]]
_MOST_AT_ONCE = 256


class Writer:
    """A thread that runs writes in the order they were given."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take over a connection opened with `check_same_thread=False` and no implicit transactions."""
        self._connection = connection
        self._closed = False
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def write(self, work: Work) -> asyncio.Future[None]:
        """Queue `work` at once; the future ends once it is durable.

        It fails with `StoreFailed` if the transaction did not become durable; then nothing of it remains.
        """
        if self._closed:
            raise StoreFailed("the store is closed")
        done: Future[None] = Future()
        # Running from the start: whoever stops waiting must not cancel what the thread is about to finish.
        done.set_running_or_notify_cancel()
        self._queue.put((work, done))
        return asyncio.wrap_future(done)

    def close(self) -> None:
        """Finish what was given and stop."""
        self._closed = True
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

    def _commit(self, batch: list[Item]) -> None:
        failure = self._try(batch)
        if failure is None:
            for _, done in batch:
                done.set_result(None)
        elif len(batch) == 1:
            batch[0][1].set_exception(failure)
        else:
            # One by one, still in order: the failure of one agreement's write is not another's.
            for item in batch:
                self._commit([item])

    def _try(self, batch: list[Item]) -> StoreFailed | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work, _ in batch:
                work(self._connection)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError, StoreFailed) as error:
            if self._connection.in_transaction:
                # A file that cannot even be read fails here too; the next transaction will say so again.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            if isinstance(error, StoreFailed):
                return error
            return StoreFailed(f"the store could not make a change durable: {because(error)}")
        except Exception as error:  # noqa: BLE001 - the thread outlives a bug in one write; others still wait
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            return StoreFailed(f"the store could not make a change durable: {type(error).__name__}")
        return None
