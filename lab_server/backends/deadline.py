"""A deadline over a stream, kept without holding a timeout open while the consumer works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from lab_server.model_port import backend_failed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

T = TypeVar("T")


async def within(stream: AsyncGenerator[T, None], seconds: float) -> AsyncGenerator[T, None]:
    """Yield what `stream` yields; the whole of it must come within `seconds`.

    Raises:
        BackendFailed: code `stalled`, when time runs out; `stream` is closed.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        while True:
            try:
                # A timeout around the `yield` would cancel the consumer's own work, so it spans one step.
                async with asyncio.timeout_at(end):
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise backend_failed("stalled", "the model did not answer before the deadline") from None
            yield item
    finally:
        await stream.aclose()
