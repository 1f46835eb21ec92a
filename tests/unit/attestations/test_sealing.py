"""Only the holder of the key reads a request, only in its context, and its size tells little."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from attestations.errors import KeyUnacceptable, MalformedEnvelope, SealedOpenFailed
from attestations.keys import KeyUse, enrol
from attestations.sealing import (
    OVERHEAD_BYTES,
    PUBLIC_BYTES,
    WorkerKey,
    open_from,
    open_request,
    pad,
    padme,
    raw32,
    request_info,
    seal_request,
    seal_to,
    unpad,
)
from tests.support.fixed_keys import worker_key

KEY = worker_key()
PLACE = {"agreement": "a" * 64, "session": "s1", "seq": 4, "variant": "base", "evidence": "b" * 64}
INFO = request_info(**PLACE)  # type: ignore[arg-type]
SEALED = seal_request(KEY.public, INFO, b"a hidden prompt")


def test_a_request_opens_for_its_holder_in_its_context() -> None:
    assert open_request(KEY, INFO, SEALED) == b"a hidden prompt"


@pytest.mark.parametrize(
    "change",
    [{"agreement": "c" * 64}, {"session": "s2"}, {"seq": 5}, {"variant": "basf"}, {"evidence": "c" * 64}],
)
def test_a_request_does_not_open_in_another_place(change: dict[str, str]) -> None:
    with pytest.raises(SealedOpenFailed):
        open_request(KEY, request_info(**{**PLACE, **change}), SEALED)  # type: ignore[arg-type]


def test_a_request_does_not_open_for_anyone_else() -> None:
    with pytest.raises(SealedOpenFailed):
        open_request(worker_key("another"), INFO, SEALED)


@given(place=st.integers(0, len(SEALED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed(place: int, bit: int) -> None:
    damaged = bytearray(SEALED)
    damaged[place] ^= 1 << bit
    with pytest.raises(SealedOpenFailed):
        open_request(KEY, INFO, bytes(damaged))


@given(st.binary(max_size=1500))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SealedOpenFailed):
        open_request(KEY, INFO, data)


def test_the_context_is_laid_out_as_specified() -> None:
    expected = (
        b"safeconduct/v1 req"
        + bytes.fromhex("aa" * 32)
        + (2).to_bytes(8, "big")
        + b"s1"
        + (4).to_bytes(8, "big")
        + (4).to_bytes(8, "big")
        + b"base"
        + bytes.fromhex("bb" * 32)
    )
    assert expected == INFO


@pytest.mark.parametrize(
    ("length", "padded"), [(0, 0), (1, 1), (2, 2), (9, 10), (10, 10), (100, 104), (1000, 1024), (1025, 1088)]
)
def test_padme_gives_the_published_lengths(length: int, padded: int) -> None:
    assert padded == padme(length)


@given(st.integers(2, 2**40))
def test_padme_is_the_published_formula_and_costs_at_most_12_percent(length: int) -> None:
    exponent = length.bit_length() - 1
    zeros = exponent - (math.floor(math.log2(exponent)) + 1 if exponent > 0 else 0)
    padded = padme(length)
    assert -(-length // 2**zeros) * 2**zeros == padded
    assert length <= padded <= length * 1.12
    assert padded == padme(padded)


@given(st.binary(max_size=3000))
def test_padding_comes_off_again(data: bytes) -> None:
    padded = pad(data)
    assert data == unpad(padded)
    assert padme(4 + len(data)) == len(padded)
    assert len(padded) + OVERHEAD_BYTES == len(seal_request(KEY.public, INFO, data))


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x05abc",
        b"\xff\xff\xff\xffabcd",
        pad(b"x" * 96)[:-1] + b"\x01",
        pad(b"x" * 96) + b"\0",
        pad(b"x" * 97)[:-1],
    ],
)
def test_padding_in_another_form_is_refused(plain: bytes) -> None:
    with pytest.raises(SealedOpenFailed):
        open_request(KEY, INFO, seal_to(KEY.public, INFO, plain))


def test_prompts_of_similar_length_are_sealed_to_one_length() -> None:
    lengths = {len(seal_request(KEY.public, INFO, b"x" * size)) for size in range(3965, 4093)}
    assert len(lengths) == 1


def test_a_class_key_is_wrapped_and_unwrapped() -> None:
    sealed = seal_to(KEY.public, b"wrap", bytes(32))
    assert bytes(32) == open_from(KEY, b"wrap", sealed)
    with pytest.raises(SealedOpenFailed):
        open_from(KEY, b"wrop", sealed)


@pytest.mark.parametrize(
    "public", [b"", KEY.public[:-1], KEY.public + b"\0", KEY.public[:1184] + bytes(32), b"\xff" * PUBLIC_BYTES]
)
def test_a_key_that_cannot_be_sealed_to_is_refused(public: bytes) -> None:
    with pytest.raises(KeyUnacceptable):
        seal_to(public, INFO, b"x")


def test_a_key_pair_follows_from_its_seed_as_in_x_wing() -> None:
    # draft-connolly-cfrg-xwing-kem, first test vector.
    key = WorkerKey(bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"))
    assert key.public[:30].hex() == "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14"
    assert len(key.public) == PUBLIC_BYTES


def test_a_worker_key_enrols_as_a_receiving_key() -> None:
    assert KEY.public == enrol("lab", KeyUse.RECEIVE, KEY.public).public


def test_new_keys_differ_and_do_not_print_themselves() -> None:
    first, second = WorkerKey.generate(), WorkerKey.generate()
    assert first.public != second.public
    assert first.seed.hex() not in repr(first)
    with pytest.raises(KeyUnacceptable):
        WorkerKey(b"short")


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_64_lower_case_hex_digits(digest: bytes) -> None:
    assert digest == raw32(digest.hex())


@given(st.text(max_size=70))
def test_other_text_is_no_digest(text: str) -> None:
    with pytest.raises(MalformedEnvelope):
        raw32(text)


@pytest.mark.parametrize("text", ["A" * 64, "a" * 63, "a" * 66, " " + "a" * 64, "aa " * 32])
def test_a_digest_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedEnvelope):
        raw32(text)
