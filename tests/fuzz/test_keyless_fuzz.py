"""Whatever is done to a bundle or a trust configuration: the statement that was signed, or an error of our own tree."""

from __future__ import annotations

import base64
import binascii
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from attestations.errors import ConfigurationInvalid, SafeconductError
from attestations.keyless import Instance, Publisher
from tests.fuzz.test_signed_fuzz import VALUES, paths
from tests.support.keyless_files import WHO, signed, statement
from tests.support.private_sigstore import ISSUER, private_sigstore

US = Publisher(WHO, ISSUER)


@pytest.fixture(scope="module")
def files() -> Iterator[tuple[bytes, bytes]]:
    """A bundle that holds, and the configuration it holds under."""
    with private_sigstore() as sigstore:
        signed(sigstore, statement("earlier"))
        yield signed(sigstore, statement()).bundle, sigstore.config()


def replaced(data: bytes, source: random.Random) -> bytes:
    """Replace, delete or flip a bit in one place of a JSON document, also inside what is base64 in it."""
    value = json.loads(data)
    *way, last = source.choice(paths(value)[1:])
    place = value
    for name in way:
        place = place[name]
    before = place[last]
    match source.randrange(4):
        case 0:
            del place[last]
        case 1:
            place[last] = source.choice(VALUES)
        case _ if isinstance(before, str):
            place[last] = _flipped(before, source)
        case _:
            place[last] = [before, before]
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _flipped(text: str, source: random.Random) -> str:
    try:
        raw = bytearray(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raw = bytearray()
    if not raw:
        return text[: source.randrange(len(text) + 1)] + source.choice(("x", "\n", "\u2014", ""))
    match source.randrange(3):
        case 0:
            raw[source.randrange(len(raw))] ^= 1 << source.randrange(8)
        case 1:
            del raw[source.randrange(len(raw)) :]
        case _:
            raw[source.randrange(len(raw))] = source.choice((0, 1, 0x30, 0x7F, 0x80, 0xFF))
    return base64.b64encode(bytes(raw)).decode()


def outcome(act: Callable[[], bytes]) -> bytes | None:
    try:
        return act()
    except SafeconductError:
        return None


@given(seed=st.integers(0, 2**64), times=st.integers(1, 3))
@settings(max_examples=300)
def test_a_damaged_bundle_is_refused_or_says_what_was_signed(files: tuple[bytes, bytes], seed: int, times: int) -> None:
    bundle, config = files
    source = random.Random(seed)
    for _ in range(times):
        bundle = replaced(bundle, source)

    assert outcome(lambda: Instance(config).verify(bundle, US)) in {None, statement()}


@given(seed=st.integers(0, 2**64))
@settings(max_examples=200)
def test_a_damaged_configuration_is_refused_or_still_the_same(files: tuple[bytes, bytes], seed: int) -> None:
    bundle, config = files

    found = outcome(lambda: Instance(replaced(config, random.Random(seed))).verify(bundle, US))

    assert found in {None, statement()}


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_any_bytes_are_no_bundle_and_no_configuration(files: tuple[bytes, bytes], data: bytes) -> None:
    instance = Instance(files[1])

    with pytest.raises(SafeconductError):
        instance.verify(data, US)
    with pytest.raises(ConfigurationInvalid):
        Instance(data)


def test_mutations_change_something(files: tuple[bytes, bytes]) -> None:
    value: Any = json.loads(files[0])
    source = random.Random(1)

    assert sum(json.loads(replaced(files[0], source)) != value for _ in range(30)) > 20
