"""One line a call, with its outcome; digests and counts only."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from attestations.errors import SafeconductError
from lab_server.interceptors.around import AroundCall, Context

log = structlog.get_logger()


class LogCalls(AroundCall):
    """Writes how each call ended and how long it took."""

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002 - the port's shape
        """Log one call."""
        started = time.perf_counter()
        outcome: dict[str, str] = {"outcome": "ok"}
        try:
            yield
        except SafeconductError as error:
            outcome = {"outcome": error.reason, **{f"fact_{name}": value for name, value in error.facts.items()}}
            raise
        except BaseException as error:
            outcome = {"outcome": type(error).__name__}
            raise
        finally:
            log.info("call_ended", method=method, ms=round((time.perf_counter() - started) * 1000, 1), **outcome)
