"""A draw is HMAC_DRBG as NIST has it, follows from its inputs alone, and favours nobody."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from attestations.draw import HmacDrbg, draw, draw_seed, share_commitment
from attestations.errors import WeakSalt
from tests.support.fixed_keys import secret

ROOT = "ab" * 32
# NIST CAVP, drbgvectors_no_reseed, HMAC_DRBG.rsp, [SHA-256] without prediction resistance: the second of two requests.
ENTROPY = "ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"
NONCE = "659ba96c601dc69fc902940805ec0ca8"
RETURNED = (
    "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460"
    "b6f73ebad0dc2aba6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668"
    "961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8"
)


def test_the_generator_gives_what_nist_published() -> None:
    source = HmacDrbg(bytes.fromhex(ENTROPY), nonce=bytes.fromhex(NONCE))
    source.generate(128)
    assert source.generate(128).hex() == RETURNED


def test_the_generator_is_the_one_inside_rfc_6979() -> None:
    """RFC 6979, A.2.5: the nonce for P-256, SHA-256 and the message "sample"."""
    key = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
    source = HmacDrbg(key, nonce=hashlib.sha256(b"sample").digest())
    assert source.generate(32).hex().upper() == "A6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60"


@given(st.binary(min_size=32, max_size=48), st.lists(st.integers(0, 200), max_size=5))
def test_the_generator_is_the_textbooks(entropy: bytes, requests: list[int]) -> None:
    """Written out again from SP 800-90A, 10.1.2, one step after the other."""
    key, value = b"\0" * 32, b"\1" * 32

    def step(data: bytes) -> None:
        nonlocal key, value
        key = hmac.new(key, value + b"\0" + data, "sha256").digest()
        value = hmac.new(key, value, "sha256").digest()
        if data:
            key = hmac.new(key, value + b"\1" + data, "sha256").digest()
            value = hmac.new(key, value, "sha256").digest()

    step(entropy)
    source = HmacDrbg(entropy)
    for count in requests:
        made = b""
        while len(made) < count:
            value = hmac.new(key, value, "sha256").digest()
            made += value
        assert made[:count] == source.generate(count)
        step(b"")


def test_a_request_has_a_limit() -> None:
    for count in (-1, (1 << 16) + 1):
        with pytest.raises(ValueError, match="request"):
            HmacDrbg(bytes(32)).generate(count)


def seed(**changes: object) -> bytes:
    values = {"suite_root": ROOT, "auditor_share": secret("a"), "lab_share": secret("l"), "beacon": b"\7" * 72}
    return draw_seed(**(values | changes))  # type: ignore[arg-type]


def test_the_seed_is_one_hash_over_everything() -> None:
    made = hashlib.sha256(b"safeconduct/v1 draw" + bytes.fromhex(ROOT) + secret("a") + secret("l") + b"\7" * 72)
    assert made.digest() == seed()


def test_every_input_changes_the_seed() -> None:
    changed = (
        seed(suite_root="cd" * 32),
        seed(auditor_share=secret("b")),
        seed(lab_share=secret("b")),
        seed(beacon=b"\7" * 71 + b"\6"),
        seed(),
    )
    assert len(set(changed)) == len(changed)


@pytest.mark.parametrize("share", [b"", bytes(31), bytes(33)])
def test_a_share_that_is_not_32_bytes_is_weak(share: bytes) -> None:
    """T036."""
    with pytest.raises(WeakSalt):
        share_commitment(share)
    for side in ("auditor_share", "lab_share"):
        with pytest.raises(WeakSalt):
            seed(**{side: share})


def test_one_share_for_both_sides_is_weak() -> None:
    """T036: who copies the other's commitment would open it with the other's share."""
    with pytest.raises(WeakSalt):
        seed(lab_share=secret("a"))


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=40), st.binary(min_size=32, max_size=32), st.data())
def test_a_draw_takes_as_many_as_it_should_each_once_and_always_the_same(
    bank: list[int], source: bytes, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(bank)))
    drawn = draw(source, bank, count)
    assert (count, True) == (len(set(drawn)), set(drawn) <= set(bank))
    assert drawn == draw(source, bank, count)
    assert drawn == draw(source, bank, len(bank))[:count]


def test_every_item_is_drawn_about_as_often() -> None:
    counts = Counter(item for n in range(2000) for item in draw(secret(f"seed {n}"), range(20), 5))
    # 500 of each are expected, with a standard deviation of 19.4.
    assert all(400 < counts[item] < 600 for item in range(20))


def test_a_bank_that_is_too_small_or_not_a_set_is_refused() -> None:
    for bank, count in (([1, 2], 3), ([1, 1], 1), ([], 1), ([1], -1)):
        with pytest.raises(ValueError, match="bank"):
            draw(bytes(32), bank, count)
