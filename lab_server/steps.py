"""Steps that are carried through once begun, whoever stops waiting for them.

A caller may hang up at any await. A leaf that has its place must still be followed by everything that goes
with it, or memory and log would tell two stories.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from attestations.errors import SafeconductError

T = TypeVar("T")
P = ParamSpec("P")


class Steps:
    """The steps that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def through(self, step: Coroutine[Any, Any, T]) -> T:
        """Carry a step through and return its result; cancelling the caller does not cancel the step."""
        return await asyncio.shield(self._begin(step))

    def begin(self, step: Coroutine[Any, Any, None]) -> None:
        """Begin a step that nobody waits for; what fails in it has broken its log, which says so to every caller."""

        async def quietly() -> None:
            with contextlib.suppress(SafeconductError):
                await step

        self._begin(quietly())

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def cancel(self) -> None:
        """Stop what is under way: only just before the process ends."""
        for task in self._tasks:
            task.cancel()

    def _begin(self, step: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HasSteps(Protocol):
    """A use case whose steps are carried through."""

    _steps: Steps


H = TypeVar("H", bound=HasSteps)


def carried_through(
    method: Callable[Concatenate[H, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[H, P], Coroutine[Any, Any, T]]:
    """Make a method of a use case a step that is carried through."""

    @wraps(method)
    async def wrapped(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._steps.through(method(self, *args, **kwargs))

    return wrapped
