"""What programs of one sandbox make the worker read must not keep it from its other sessions."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from lab_server.scaffold_api.asking import MAX_BRACKETS, MAX_DEPTH, MAX_VALUES, Unacceptable, read_wanted
from lab_server.scaffold_api.pace import Pace


async def test_between_two_pieces_of_work_everybody_else_has_a_turn() -> None:
    pace, done = Pace(), list[str]()

    async def work() -> None:
        async with pace:
            time.sleep(0.005)  # noqa: ASYNC251 - as parsing does: nothing else runs meanwhile
            done.append("work")

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            done.append("others")

    other = asyncio.create_task(others())
    await asyncio.gather(*(work() for _ in range(5)))
    other.cancel()
    worked = [at for at, what in enumerate(done) if what == "work"]
    assert all("others" in done[first:second] for first, second in pairwise(worked))
    assert min(second - first for first, second in pairwise(worked)) > 1


async def test_work_that_fails_or_is_given_up_leaves_its_turn_to_the_next() -> None:
    pace = Pace()
    with pytest.raises(ValueError, match="wrong"):
        async with pace:
            raise ValueError("wrong")
    waiting = asyncio.create_task(pace.__aenter__())
    await waiting
    second = asyncio.create_task(pace.__aenter__())
    await asyncio.sleep(0)
    second.cancel()
    await pace.__aexit__()
    async with asyncio.timeout(1), pace:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[' + b"[]," * MAX_BRACKETS + b"[]]}",
        b'{"messages":[' + b"1," * MAX_VALUES + b"1]}",
        b'{"messages":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    ],
)
def test_a_body_of_too_many_values_or_levels_is_refused(body: bytes) -> None:
    with pytest.raises(Unacceptable) as refused:
        read_wanted(body, variant="v")
    assert refused.value.code == "invalid_json"
