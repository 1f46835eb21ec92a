"""Hostile holders and dealers: whatever they sign, and whatever files they send, is our error or a report."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.canonical import canonical_bytes, parse_canonical
from attestations.documents.escrow import ShareRelease
from attestations.envelope import Envelope, parse_envelope, sign
from attestations.errors import SafeconductError
from attestations.escrow.combining import gather, open_release, recover
from attestations.escrow.released import check_escrow_release, parse_escrow_release
from attestations.escrow.share_file import ShareFile, open_manifests, parse_share_file
from attestations.keys import KeyUse
from attestations.verify.engine import Request
from attestations.verify.parties import read_agreement
from tests.fuzz.test_signed_fuzz import documented, mutate, signed
from tests.support import world_escrow
from tests.support.escrow_story import file, silent
from tests.support.world import World, check, run_steps
from tests.support.world_agreement import p256_signer
from tests.support.world_escrow import DUE, HOLDERS, REGULATOR, opened, receive_key, share_release, trust
from tests.support.world_log import Hooks
from tests.support.world_suite import make_tasks

PARSERS = {"release": parse_escrow_release, "shares": parse_share_file}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)


def share_file() -> bytes:
    world = silent()
    manifests = []
    for line in world.log.prefix(world.log.size).splitlines():
        leaf = json.loads(line)
        if leaf["kind"] == "escrow":
            manifests.append(parse_envelope(canonical_bytes(leaf["docs"][0])))
    return ShareFile("t1", world.envelope, tuple(manifests)).to_bytes()


def read_all(data: bytes) -> None:
    """What a holder does with a file of shares."""
    read = parse_share_file(data)
    parties = read_agreement(read.agreement, trust())
    open_manifests(read.manifests, parties, holder=read.holder)


@pytest.mark.parametrize("name", sorted(PARSERS))
@given(data=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_foreign_bytes_are_our_error(name: str, data: bytes) -> None:
    with pytest.raises(SafeconductError):
        PARSERS[name](data)


def test_a_cut_file_is_our_error() -> None:
    for whole, parse in (
        (share_file(), read_all),
        (opened(silent(), "t1", REGULATOR).to_bytes(), parse_escrow_release),
    ):
        parse(whole)
        for end in (*range(0, len(whole), max(1, len(whole) // 50)), len(whole) - 1):
            with pytest.raises(SafeconductError):
                parse(whole[:end])


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_changed_file_of_shares_is_our_error_or_harmless(seed: int) -> None:
    data = canonical_bytes(mutate(parse_canonical(share_file(), limit=1 << 22), random.Random(seed)))
    with suppress(SafeconductError):
        read_all(data)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_changed_escrow_release_opens_nothing_or_the_same(seed: int) -> None:
    world = silent()
    good = opened(world, "t1", REGULATOR)
    data = canonical_bytes(mutate(parse_canonical(good.to_bytes()), random.Random(seed)))
    try:
        release = parse_escrow_release(data)
        found = check_escrow_release(release, world.agreement, world.escrowed["C2"], suite_id=world.key.suite_id)
    except SafeconductError:
        return
    assert found.combined.key.secret.hex() == good.key
    report = check(file(), trust=trust(*HOLDERS), request=Request(at=DUE, escrow=(release,)))
    assert documented(report.exit_code) or report.exit_code == 0


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_whatever_a_holder_signs_is_our_error_or_opens_the_registered_key(seed: int) -> None:
    world, manifest = silent(), silent().escrowed["C2"]
    honest = share_release(world, REGULATOR)
    value = mutate(parse_canonical(share_release(world, "t1").payload), random.Random(seed))
    hostile = sign(ShareRelease.payload_type, canonical_bytes(value), p256_signer("t1", KeyUse.AGREEMENT))
    try:
        releases = [open_release(item, world.agreement, manifest) for item in (honest, hostile)]
        gathered = gather(releases, manifest, own=REGULATOR, key=receive_key(REGULATOR))
        combined = recover(gathered, manifest, suite_id=world.key.suite_id)
    except SafeconductError:
        return
    assert combined.key.commitment() == world.key.class_key("C2").commitment()


def world_with(label: str, change: Any) -> World:
    made = World(agreement=world_escrow.agreement(), tasks=make_tasks(10, size=12), hooks=Hooks(alter={label: change}))
    made.steps = [*run_steps(len(made.exchanges)), *world_escrow.steps(("escrow",), ("escrow_verified", "t3"))]
    return made


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_whatever_a_dealer_signs_gives_a_report(seed: int) -> None:
    made = world_with("escrow:C2", signed(random.Random(seed)))
    try:
        data = made.evidence("S1")
    except SafeconductError:
        return  # not even its own tools read it back
    code = check(data, trust=trust(*HOLDERS)).exit_code
    assert documented(code) or code == 0


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_whatever_a_holder_says_it_verified_gives_a_report(seed: int) -> None:
    code = check(
        world_with("escrow_verified:t3", signed(random.Random(seed))).evidence("S1"), trust=trust(*HOLDERS)
    ).exit_code
    assert documented(code) or code == 0


def test_an_envelope_of_another_kind_is_no_release() -> None:
    world = silent()
    wrong = Envelope("application/x", share_release(world, "t1").payload, share_release(world, "t1").signatures)
    with pytest.raises(SafeconductError):
        open_release(wrong, world.agreement, world.escrowed["C2"])
