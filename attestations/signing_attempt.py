"""One attempt to have services sign: which of them has it, how long anybody waits, and what a failure leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from attestations.errors import SigningServiceFailed

AUTHORITY, TIMESTAMPS, LOG = "certificate authority", "timestamp authority", "transparency log"
T = TypeVar("T")


class Attempt:
    """Goes from service to service as long as anybody waits for it."""

    def __init__(self) -> None:
        self._at = AUTHORITY
        self._abandoned = False
        self._lock = threading.Lock()  # so that what is abandoned before the log never reaches it

    @property
    def at(self) -> str:
        """The service that has it."""
        return self._at

    def move(self, service: str) -> None:
        """Go on to a service.

        Raises:
            SigningServiceFailed: nobody waits any more.
        """
        with self._lock:
            if self._abandoned:
                raise self.failed("was too slow")
            self._at = service

    def failed(self, why: str) -> SigningServiceFailed:
        """Return the error for the service that has it; it says whether the log may hold an entry."""
        logged = "the log may hold an entry for this attempt all the same" if self._at == LOG else "nothing was logged"
        return SigningServiceFailed(f"the {self._at} {why}; {logged}", service=self._at)

    def within(self, seconds: float, work: Callable[[], T]) -> T:
        """Return what `work` returns, or give up on it in time, whatever it waits for.

        Its thread cannot be stopped. It holds nothing up, ends with the process, and goes on to no further service.

        Raises:
            SigningServiceFailed: it is not done in time.
        """
        results: list[T] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again below, where somebody sees it
                failures.append(error)

        thread = threading.Thread(target=run, name="signing attempt", daemon=True)
        thread.start()
        thread.join(seconds)
        with self._lock:
            if thread.is_alive():
                self._abandoned = True
                raise self.failed(f"did not answer within {seconds:g} seconds")
        if failures:
            raise failures[0]
        return results[0]


def http_status(error: Exception) -> int | None:
    """Return the HTTP status an error of a client library comes from, if it does."""
    for cause in (error, error.__cause__, error.__context__):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def why(error: Exception) -> str:
    """Return what a service did to cause an error, in words that hold nothing it said."""
    status = http_status(error)
    if status is not None:
        return f"answered HTTP {status}"
    causes = (error, error.__cause__, error.__context__)
    # A client's "this is no JSON" is an OSError as well.
    unreachable = any(isinstance(item, OSError) and not isinstance(item, ValueError) for item in causes)
    return "cannot be reached" if unreachable else "gave an answer that cannot be used"
