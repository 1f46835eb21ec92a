"""The host's end of the channel, against a box that says anything."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.errors import SandboxLost
from lab_server.sandbox.channel import Channel
from lab_server.sandbox.inside.framing import (
    KINDS,
    MAX_PAYLOAD,
    WINDOW,
    BadFrame,
    Kind,
    Splitter,
    frame,
    grant,
)
from lab_server.sandbox.port import ByteStream
from tests.support.scripted_box import ScriptedBox, reply

frames = st.lists(
    st.one_of(
        st.builds(frame, st.sampled_from(KINDS), st.integers(0, 9), st.binary(max_size=40)),
        st.builds(grant, st.integers(0, 9), st.integers(0, 2**32 - 1)),
        st.builds(reply, st.integers(0, 9), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3)),
        st.binary(max_size=30),
    ),
    max_size=12,
)


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_bytes_are_frames_or_a_bad_frame(pieces: list[bytes]) -> None:
    splitter = Splitter()
    try:
        for piece in pieces:
            for _, _, payload in splitter.feed(piece):
                assert len(payload) <= MAX_PAYLOAD
    except BadFrame:
        pass


@given(frames, st.integers(1, 50))
def test_frames_are_the_same_however_they_are_cut(whole: list[bytes], size: int) -> None:
    data = b"".join(whole)

    def split(pieces: list[bytes]) -> list[Any]:
        splitter = Splitter()
        found: list[Any] = []
        try:
            for piece in pieces:
                for one in splitter.feed(piece):
                    found.append(one)  # noqa: PERF402 - what comes before a bad frame counts
        except BadFrame:
            found.append("bad")
        return found

    assert split([data]) == split([data[at : at + size] for at in range(0, len(data), size)])


@given(frames, st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_a_box_says_a_call_ends_with_an_answer_or_the_box_is_lost(said: list[bytes], model: bool) -> None:  # noqa: FBT001
    async def scenario() -> None:
        box = ScriptedBox()
        channel = Channel(box, _serve if model else None, 2)
        call = asyncio.create_task(channel.call({"op": "read"}, output_limit=100))
        await asyncio.sleep(0)
        for piece in said:
            box.say(piece)
        box.say(b"")
        try:
            answer, output = await asyncio.wait_for(call, 2)
        except SandboxLost:
            pass
        else:
            assert isinstance(answer, dict)
            assert len(output) <= 100
        await channel.close()
        assert sum(len(payload) for _, _, payload in box.heard) < 10_000

    asyncio.run(scenario())


async def _serve(stream: ByteStream) -> None:
    while data := await stream.read(100):
        await stream.write(data)


async def lost(*said: bytes, limit: int = 10, model: bool = False) -> str:
    """Return the rule that what a box said has broken."""
    box = ScriptedBox()
    channel = Channel(box, _serve if model else None, 1)
    call = asyncio.create_task(channel.call({"op": "read"}, output_limit=limit))
    await asyncio.sleep(0)
    for piece in said:
        box.say(piece)
    with pytest.raises(SandboxLost) as error:
        await asyncio.wait_for(call, 2)
    await channel.close()
    return error.value.facts["rule"]


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("!BII", 4, 0, MAX_PAYLOAD + 1),
        struct.pack("!BII", 99, 0, 0),
        frame(Kind.DATA, 0, b"x" * 11),
        frame(Kind.DATA, 2, b"x"),
        frame(Kind.CALL, 0, b"{}"),
        frame(Kind.REPLY, 0, b"[]"),
        frame(Kind.REPLY, 0, b"[" * 20_000),
        frame(Kind.GRANT, 0, b"xyz"),
        grant(0, 2**32 - 1),
        frame(Kind.OPEN, 1),
        frame(Kind.DATA, 1, b"x"),
    ],
    ids=["long", "kind", "output", "stranger", "call", "list", "deep", "grant", "window", "unasked", "unopened"],
)
async def test_the_first_frame_that_breaks_a_rule_loses_the_box(said: bytes) -> None:
    assert await lost(said) == "frames"


@pytest.mark.parametrize(
    "said",
    [
        frame(Kind.OPEN, 3),
        frame(Kind.OPEN, 1) + frame(Kind.OPEN, 3),
        frame(Kind.OPEN, 1) + frame(Kind.ERRORS, 1, b"x"),
        frame(Kind.OPEN, 1) + frame(Kind.END, 1) + frame(Kind.DATA, 1, b"x"),
    ],
    ids=["skipped", "too many", "kind", "after the end"],
)
async def test_connections_follow_rules_too(said: bytes) -> None:
    assert await lost(said, model=True) == "frames"


async def test_more_than_a_window_that_nobody_reads_loses_the_box() -> None:
    box = ScriptedBox()
    reading = asyncio.Event()

    async def never_reads(_: ByteStream) -> None:
        await reading.wait()

    channel = Channel(box, never_reads, 1)
    box.say(frame(Kind.OPEN, 1))
    for _ in range(WINDOW // MAX_PAYLOAD):
        box.say(frame(Kind.DATA, 1, b"x" * MAX_PAYLOAD))
    await asyncio.sleep(0.01)
    held = not channel.ended.is_set()
    box.say(frame(Kind.DATA, 1, b"x"))
    await asyncio.wait_for(channel.ended.wait(), 2)
    await channel.close()

    assert held


async def test_a_handler_that_fails_ends_its_connection_and_nothing_else() -> None:
    async def fails(_: ByteStream) -> None:
        raise ValueError("a secret")

    box = ScriptedBox(lambda stream, _: reply(stream, {"fine": 1}))
    channel = Channel(box, fails, 2)
    box.say(frame(Kind.OPEN, 1) + frame(Kind.OPEN, 3))
    await asyncio.sleep(0.01)

    assert await channel.call({"op": "read"}) == ({"fine": 1}, b"")
    assert {(Kind.END, 1, b""), (Kind.END, 3, b"")} <= set(box.heard)
    await channel.close()


async def test_a_writer_waits_for_the_window_and_hears_of_a_broken_connection() -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def floods(stream: ByteStream) -> None:
        try:
            await stream.write(b"x" * (WINDOW + 1))
        except ConnectionError:
            outcome.set_result("broken")

    box = ScriptedBox()
    channel = Channel(box, floods, 1)
    box.say(frame(Kind.OPEN, 1))
    await asyncio.sleep(0.01)
    sent = sum(len(payload) for kind, _, payload in box.heard if kind == Kind.DATA)
    box.say(frame(Kind.STOP, 1))

    assert sent == WINDOW
    assert await asyncio.wait_for(outcome, 2) == "broken"
    await channel.close()
