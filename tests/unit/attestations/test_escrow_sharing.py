"""Sharing: any quorum gives the secret back, fewer tell nothing, and nobody can hand out a share that does not fit."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings, strategies as st

from attestations.errors import (
    EscrowQuorumUnmet,
    EscrowShareInvalid,
    KeyCommitmentMismatch,
    MalformedEnvelope,
    SafeconductError,
)
from attestations.escrow.binding import Place, check_proof, prove, unwrap, wrap
from attestations.escrow.curve import ORDER, add, decode_point, encode_point, public_point, times
from attestations.escrow.sharing import (
    check_share,
    combine,
    deal,
    parse_scalar,
    random_scalar,
    scalar_bytes,
    share_point,
)
from tests.support.world_escrow import randomness

SCALARS = st.integers(min_value=1, max_value=ORDER - 1)
WHERE: dict[str, Any] = {"agreement": "0a" * 32, "content_class": "C2", "branch": "b"}


@given(st.integers(1, 5), st.integers(0, 3), st.data())
@settings(max_examples=25)
def test_every_quorum_gives_the_secret_back_and_every_share_fits(need: int, more: int, data: st.DataObject) -> None:
    holders = need + more
    secret = data.draw(SCALARS)
    dealing = deal(secret, need=need, holders=holders, randomness=randomness(f"{secret}"))

    for index, share in enumerate(dealing.shares, start=1):
        check_share(dealing.commitments, index, share, holder="h")
    for chosen in list(combinations(range(1, holders + 1), need))[:10]:
        assert combine(dealing.commitments, {i: dealing.shares[i - 1] for i in chosen}) == secret


@given(SCALARS, SCALARS)
@settings(max_examples=25)
def test_fewer_shares_fit_any_secret_whatever(secret: int, other: int) -> None:
    """Perfect secrecy of Shamir's scheme: for one share of two, every other secret has a polynomial through it."""
    share = deal(secret, need=2, holders=2, randomness=randomness("x")).shares[0]
    slope = (share - other) % ORDER

    assert (other + slope * 1) % ORDER == share


@given(SCALARS, SCALARS)
@settings(max_examples=25)
def test_points_add_as_the_library_multiplies(left: int, right: int) -> None:
    """The oracle is `cryptography`: the point of a sum is the sum of the points."""
    total = (left + right) % ORDER
    both = add(decode_point(public_point(left)), decode_point(public_point(right)))

    assert both == (None if total == 0 else decode_point(public_point(total)))


@pytest.mark.parametrize("factor", range(1, 18))
def test_small_factors_multiply_as_the_library_does(factor: int) -> None:
    scalar = 0x1234567890ABCDEF << 128
    point = decode_point(public_point(scalar))

    assert encode_point(times(factor, point)) == public_point(scalar * factor % ORDER)


def test_opposite_points_cancel_out_and_that_is_no_share() -> None:
    point = decode_point(public_point(5))
    opposite = decode_point(public_point(ORDER - 5))

    assert add(point, opposite) is None
    assert add(None, point) == point == add(point, None)
    with pytest.raises(MalformedEnvelope):
        encode_point(None)
    with pytest.raises(MalformedEnvelope):  # share 1 of the polynomial 5 - 5x is zero
        share_point([public_point(5), public_point(ORDER - 5)], 1)


@pytest.mark.parametrize(
    "text", ["02" + "00" * 31 + "01", "02" + "ff" * 32, "04" + "11" * 32, "02", "", "zz", "02" + "1" * 63]
)
def test_what_is_not_a_point_is_refused(text: str) -> None:
    with pytest.raises(MalformedEnvelope):
        decode_point(text)


def test_a_dealer_cannot_hand_out_a_share_that_does_not_fit() -> None:
    """T105, at the holder: one wrong bit, another holder's share, zero, the order."""
    dealing = deal(7, need=2, holders=3, randomness=randomness("a"))

    for wrong in (dealing.shares[0] ^ 1, dealing.shares[1], 0, ORDER, dealing.shares[0] + ORDER):
        with pytest.raises(EscrowShareInvalid) as caught:
            check_share(dealing.commitments, 1, wrong, holder="t1")
        assert caught.value.facts == {"holder": "t1"}


def test_a_wrong_share_that_goes_unchecked_would_give_another_secret() -> None:
    dealing = deal(7, need=2, holders=3, randomness=randomness("a"))

    assert combine(dealing.commitments, {1: dealing.shares[0] ^ 1, 2: dealing.shares[1]}) != 7


def test_too_few_shares_give_nothing() -> None:
    dealing = deal(7, need=3, holders=4, randomness=randomness("a"))

    with pytest.raises(EscrowQuorumUnmet):
        combine(dealing.commitments, {1: dealing.shares[0], 4: dealing.shares[3]})


@pytest.mark.parametrize(("need", "holders", "secret"), [(0, 1, 1), (2, 1, 1), (1, 17, 1), (1, 1, 0), (1, 1, ORDER)])
def test_a_sharing_that_makes_no_sense_is_refused(need: int, holders: int, secret: int) -> None:
    with pytest.raises(ValueError, match="sharing"):
        deal(secret, need=need, holders=holders, randomness=randomness("a"))


def test_random_scalars_are_never_zero() -> None:
    answers = iter([bytes(48), ORDER.to_bytes(48, "big"), b"\0" * 47 + b"\x05"])

    assert random_scalar(lambda _: next(answers)) == 5


@pytest.mark.parametrize("data", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33])
def test_what_is_not_a_share_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        parse_scalar(data)


def test_one_half_of_a_two_part_key_opens_nothing() -> None:
    """T111: a key of two parts joined by AND; whoever has one part (a time-lock's, say) has nothing."""
    first, second = 11, 22
    wrapped = wrap([first, second], b"k" * 32, **WHERE)

    assert unwrap([first, second], wrapped, **WHERE) == b"k" * 32
    assert unwrap([second, first], wrapped, **WHERE) == b"k" * 32
    for half in ([first], [second], [first, first], [second, second]):
        with pytest.raises(KeyCommitmentMismatch):
            unwrap(half, wrapped, **WHERE)


@pytest.mark.parametrize("field", ["agreement", "content_class", "branch"])
def test_a_wrapped_key_is_bound_to_its_place(field: str) -> None:
    wrapped = wrap([5], b"k" * 32, **WHERE)

    with pytest.raises(KeyCommitmentMismatch):
        unwrap([5], wrapped, **{**WHERE, field: "0b" * 32})


def test_a_proof_shows_that_the_share_is_known_and_nothing_else_fits() -> None:
    place = Place("b", 0, 1)
    about: dict[str, Any] = {"manifest": "0b" * 32, "place": place, "holder": "t1", "challenge": "01" * 32}
    proof = prove(99, **about)

    check_proof(proof, public_point(99), **about)
    others: list[dict[str, Any]] = [
        {"manifest": "0c" * 32},
        {"place": Place("b", 1, 1)},
        {"holder": "t2"},
        {"challenge": "02" * 32},
    ]
    for changed in others:
        with pytest.raises(EscrowShareInvalid):
            check_proof(proof, public_point(99), **{**about, **changed})
    for point, bad in ((public_point(98), proof), (public_point(99), b""), (public_point(99), proof[:-1])):
        with pytest.raises(EscrowShareInvalid):
            check_proof(bad, point, **about)


def test_secrets_are_in_no_representation() -> None:
    dealing = deal(ORDER // 3, need=2, holders=2, randomness=randomness("a"))

    assert str(dealing.shares[0]) not in repr(dealing)
    assert scalar_bytes(dealing.shares[0]).hex() not in repr(dealing)


@given(st.text(alphabet="0123456789abcdef", min_size=66, max_size=66))
@settings(max_examples=50)
def test_decoding_points_raises_only_our_errors(text: str) -> None:
    try:
        point = decode_point(text)
    except SafeconductError:
        return
    assert point is not None
    assert ec.EllipticCurvePublicNumbers(*point, ec.SECP256R1()).public_key().key_size == 256
