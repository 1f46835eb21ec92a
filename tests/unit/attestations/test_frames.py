"""An answer arrives whole and in order, or its reader knows that it did not."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, strategies as st

from attestations.errors import (
    MalformedEnvelope,
    ResponseTruncated,
    SafeconductError,
    SealedOpenFailed,
    SizeLimitExceeded,
)
from attestations.frames import (
    DELTA,
    FRAME_DATA_BYTES,
    RESULT,
    SEALED_FRAME_BYTES,
    Event,
    EventReader,
    EventWriter,
    FrameOpener,
    FrameSealer,
    PlainFrame,
    frames_root,
    response_salt,
    worker_signature_input,
)
from attestations.merkle import leaf_hash
from tests.support.fixed_keys import secret
from tests.support.naive_merkle import naive_root

KEY = secret("response")


def sealed(deltas: list[str], result: bytes, *, flush: bool = False) -> list[tuple[bytes, bool]]:
    writer, sealer = EventWriter(), FrameSealer(KEY)
    frames: list[PlainFrame] = []
    for delta in deltas:
        frames += writer.delta(delta)
        if flush:
            frames += writer.flush()
    frames += writer.result(result)
    return [(sealer.seal(frame.data, final=frame.final), frame.final) for frame in frames]


def opened(frames: list[tuple[bytes, bool]]) -> list[Event]:
    opener, reader = FrameOpener(KEY), EventReader()
    events: list[Event] = []
    for number, (ciphertext, final) in enumerate(frames):
        events += reader.feed(opener.open(number, ciphertext, final=final))
    reader.finish()
    return events


@given(
    deltas=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=700), max_size=6),
    result=st.binary(max_size=4000),
    flush=st.booleans(),
)
def test_events_arrive_as_they_were_written(deltas: list[str], result: bytes, *, flush: bool) -> None:
    frames = sealed(deltas, result, flush=flush)
    assert [*(Event(DELTA, text.encode()) for text in deltas), Event(RESULT, result)] == opened(frames)
    assert {SEALED_FRAME_BYTES} == {len(ciphertext) for ciphertext, _ in frames}
    assert [False] * (len(frames) - 1) + [True] == [final for _, final in frames]


@pytest.mark.parametrize("size", [0, 1, 1016, 1017, 1018, 1022, 2038, 2039, 2040])
def test_a_result_that_ends_with_its_frame_still_has_a_final_frame(size: int) -> None:
    frames = sealed([], b"x" * size)
    assert -(-(size + 5) // FRAME_DATA_BYTES) == len(frames)
    assert [Event(RESULT, b"x" * size)] == opened(frames)


ANSWER = sealed(["hello " * 300], b"{}" * 1500)


def test_every_cut_is_noticed() -> None:
    for length in range(len(ANSWER)):
        with pytest.raises(ResponseTruncated):
            opened(ANSWER[:length])


def test_a_cut_cannot_be_hidden_by_calling_an_inner_frame_final() -> None:
    with pytest.raises(SealedOpenFailed):
        opened([*ANSWER[:2], (ANSWER[2][0], True)])


@given(st.data())
def test_a_dropped_repeated_or_moved_frame_is_noticed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(ANSWER) - 2))
    other = data.draw(st.integers(0, len(ANSWER) - 1).filter(lambda number: number != place))
    dropped = ANSWER[:place] + ANSWER[place + 1 :]
    repeated = [*ANSWER[: place + 1], ANSWER[place], *ANSWER[place + 1 :]]
    swapped = list(ANSWER)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    for frames in (dropped, repeated, swapped):
        with pytest.raises(SealedOpenFailed):
            opened(frames)


def test_a_frame_claiming_another_number_is_refused() -> None:
    opener = FrameOpener(KEY)
    with pytest.raises(SealedOpenFailed):
        opener.open(1, ANSWER[1][0], final=False)
    opener.open(0, ANSWER[0][0], final=False)
    with pytest.raises(SealedOpenFailed):
        opener.open(0, ANSWER[0][0], final=False)


def test_after_a_bad_frame_the_right_one_still_opens() -> None:
    opener = FrameOpener(KEY)
    with pytest.raises(SealedOpenFailed):
        opener.open(0, bytes(SEALED_FRAME_BYTES), final=False)
    assert len(opener.open(0, ANSWER[0][0], final=False)) == FRAME_DATA_BYTES


@given(place=st.integers(0, SEALED_FRAME_BYTES - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(place: int, bit: int) -> None:
    damaged = bytearray(ANSWER[0][0])
    damaged[place] ^= 1 << bit
    with pytest.raises(SealedOpenFailed):
        FrameOpener(KEY).open(0, bytes(damaged), final=False)


@given(ciphertext=st.binary(max_size=1200), number=st.integers(-1, 2**70), final=st.booleans())
def test_any_frame_gives_our_error(ciphertext: bytes, number: int, *, final: bool) -> None:
    with pytest.raises(SealedOpenFailed):
        FrameOpener(KEY).open(number, ciphertext, final=final)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealedOpenFailed):
        FrameOpener(secret("another")).open(0, ANSWER[0][0], final=False)


@pytest.mark.parametrize("plain", [b"\x04\x00" + bytes(1022), b"\x00\x00" + bytes(1021) + b"\x01"])
def test_a_frame_padded_in_another_form_is_refused(plain: bytes) -> None:
    sealer = FrameSealer(KEY)
    aead: AESGCM = sealer._aead
    ciphertext = aead.encrypt(bytes(12), plain, b"safeconduct/v1 frame" + bytes(8) + b"\x00")
    with pytest.raises(SealedOpenFailed):
        FrameOpener(KEY).open(0, ciphertext, final=False)


def test_nothing_follows_the_final_frame() -> None:
    sealer = FrameSealer(KEY)
    last = sealer.seal(b"", final=True)
    with pytest.raises(RuntimeError):
        sealer.seal(b"", final=True)
    opener = FrameOpener(KEY)
    opener.open(0, last, final=True)
    with pytest.raises(SealedOpenFailed):
        opener.open(1, last, final=True)


def test_a_frame_holds_no_more_than_1022_bytes() -> None:
    with pytest.raises(RuntimeError):
        FrameSealer(KEY).seal(bytes(FRAME_DATA_BYTES + 1), final=False)


def test_nothing_follows_the_result() -> None:
    writer = EventWriter()
    data = b"".join(frame.data for frame in writer.result(b"{}"))
    with pytest.raises(RuntimeError):
        writer.delta("more")
    with pytest.raises(MalformedEnvelope):
        EventReader().feed(data + b"\x00")
    reader = EventReader()
    reader.feed(data)
    with pytest.raises(MalformedEnvelope):
        reader.feed(b"\x00")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x02\x00\x00\x00\x00", MalformedEnvelope),
        (b"\x00\x00\x00\x00\x01\xff", MalformedEnvelope),
        (b"\x01\xff\xff\xff\xff", SizeLimitExceeded),
    ],
)
def test_a_malformed_event_is_refused(data: bytes, error: type[SafeconductError]) -> None:
    with pytest.raises(error):
        EventReader().feed(data)


@given(st.lists(st.binary(max_size=1022), max_size=5))
def test_any_content_gives_events_or_our_error(contents: list[bytes]) -> None:
    reader = EventReader()
    try:
        for content in contents:
            assert all(event.kind in {DELTA, RESULT} for event in reader.feed(content))
        reader.finish()
    except SafeconductError:
        return
    assert b"".join(contents)[:1] in {b"\x00", b"\x01"}


def test_the_root_is_over_the_sealed_frames_in_order() -> None:
    ciphertexts = [ciphertext for ciphertext, _ in ANSWER]
    assert naive_root([leaf_hash(item) for item in ciphertexts]).hex() == frames_root(ciphertexts)
    assert frames_root(ciphertexts) != frames_root(reversed(ciphertexts))


def test_the_worker_signs_every_name_of_the_answer() -> None:
    place = {"agreement": "a" * 64, "session": "s", "seq": 1, "frames_root": "b" * 64, "frames": 2}
    signed = worker_signature_input(**place, result_commitment="c" * 64)  # type: ignore[arg-type]
    expected = (
        b"safeconduct/v1 frames"
        + bytes.fromhex("aa" * 32)
        + (1).to_bytes(8, "big")
        + b"s"
        + (1).to_bytes(8, "big")
        + bytes.fromhex("bb" * 32)
        + (2).to_bytes(8, "big")
        + bytes.fromhex("cc" * 32)
    )
    assert expected == signed


def test_a_key_of_another_length_is_refused() -> None:
    for use in (FrameSealer, FrameOpener, response_salt):
        with pytest.raises(MalformedEnvelope):
            use(b"short")
    assert response_salt(KEY) != KEY
    assert KEY.hex() not in repr(FrameSealer(KEY)) + repr(FrameOpener(KEY))
