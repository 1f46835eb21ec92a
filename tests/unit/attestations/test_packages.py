"""A package delivered now and opened later is one thing, and only its committed key opens it."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, strategies as st

from attestations.commitments import ClassKey
from attestations.errors import (
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PackageDecryptFailed,
    PackageManifestMismatch,
    SafeconductError,
    SizeLimitExceeded,
)
from attestations.merkle import leaf_hash
from attestations.packages import (
    check_package,
    chunk_key_commitment,
    iter_package,
    open_chunk,
    open_chunk_with,
    seal_into,
    seal_package,
)
from tests.support.fixed_keys import secret, suite_key
from tests.support.naive_merkle import naive_root

KEY = suite_key().class_key("C5")
CHUNKS = [b"", b"one", b"x" * 5000, b"{}"]
PACKAGE = seal_package(KEY, CHUNKS)
FILE = b"".join(PACKAGE.file_blocks())
MANIFEST: dict[str, Any] = {
    "chunks": 4,
    "ciphertext_root": PACKAGE.ciphertext_root,
    "key_root": PACKAGE.key_root,
    "key_commitment": KEY.commitment(),
    "file_bytes": len(FILE),
    "file_digest": hashlib.sha256(FILE).hexdigest(),
}


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_every_chunk_opens_under_its_class_key_and_its_own(chunks: list[bytes]) -> None:
    package = seal_package(KEY, chunks)
    assert chunks == [open_chunk(KEY, i, ct) for i, ct in enumerate(package.chunks)]
    assert chunks == [open_chunk_with(KEY.task_key(i), i, ct) for i, ct in enumerate(package.chunks)]


def test_the_roots_are_over_ciphertexts_and_key_commitments() -> None:
    keys = [hashlib.sha256(b"safeconduct/v1 kc" + KEY.task_key(i)).digest() for i in range(4)]
    assert keys == [chunk_key_commitment(KEY, i) for i in range(4)]
    assert naive_root([leaf_hash(item) for item in keys]).hex() == PACKAGE.key_root
    assert naive_root([leaf_hash(item) for item in PACKAGE.chunks]).hex() == PACKAGE.ciphertext_root
    assert (4, len(FILE), KEY.commitment()) == (PACKAGE.n, PACKAGE.padded_bytes, PACKAGE.key_commitment)


@given(size=st.integers(1, 200))
def test_a_file_is_read_in_blocks_of_any_size(size: int) -> None:
    blocks = [FILE[start : start + size] for start in range(0, len(FILE), size)]
    assert list(PACKAGE.chunks) == list(iter_package(blocks))


def test_a_chunk_opens_in_no_other_place_and_under_no_other_key() -> None:
    with pytest.raises(PackageDecryptFailed):
        open_chunk(KEY, 2, PACKAGE.chunks[1])
    with pytest.raises(PackageDecryptFailed):
        open_chunk(suite_key().class_key("C6"), 1, PACKAGE.chunks[1])
    with pytest.raises(PackageDecryptFailed):
        open_chunk(suite_key("suite-2").class_key("C5"), 1, PACKAGE.chunks[1])


@given(st.binary(max_size=100))
def test_garbage_does_not_open(ciphertext: bytes) -> None:
    with pytest.raises(PackageDecryptFailed):
        open_chunk(KEY, 0, ciphertext)


@pytest.mark.parametrize("plaintext", [b"\0\0\0\x01a\0\0\1", b"\0\0\0\x09a\0\0\0"])
def test_padding_in_another_form_is_refused(plaintext: bytes) -> None:
    ciphertext = AESGCM(KEY.task_key(0)).encrypt(bytes(12), plaintext, None)
    with pytest.raises(PackageDecryptFailed):
        open_chunk(KEY, 0, ciphertext)


def test_the_length_of_a_sealed_chunk_tells_nothing_about_its_task() -> None:
    sealed = seal_package(KEY, [b"", b"correct", b"x" * 900])
    assert len({len(chunk) for chunk in sealed.chunks}) == 1
    assert [open_chunk(KEY, i, chunk) for i, chunk in enumerate(sealed.chunks)] == [b"", b"correct", b"x" * 900]


@pytest.mark.parametrize("cut", [1, 3, 4, 5, len(FILE) - 1])
def test_a_cut_file_is_refused(cut: int) -> None:
    with pytest.raises(MalformedEnvelope):
        list(iter_package([FILE[:cut]]))


def test_a_chunk_of_impossible_length_is_refused_before_it_is_read() -> None:
    def endless() -> Iterator[bytes]:
        yield b"\xff\xff\xff\xff"
        raise AssertionError("read on after the length")

    with pytest.raises(SizeLimitExceeded):
        list(iter_package(endless()))
    with pytest.raises(MalformedEnvelope):
        list(iter_package([b"\0\0\0\x10" + bytes(16)]))


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_blocks_give_chunks_or_our_error(blocks: list[bytes]) -> None:
    try:
        chunks = list(iter_package(blocks))
    except SafeconductError:
        return
    assert b"".join(blocks) == b"".join(len(chunk).to_bytes(4, "big") + chunk for chunk in chunks)


def test_a_long_file_is_read_in_little_memory() -> None:
    chunk = (100_000).to_bytes(4, "big") + bytes(100_000)

    def blocks() -> Iterator[bytes]:
        for _ in range(300):
            yield chunk

    tracemalloc.start()
    try:
        total = sum(1 for _ in iter_package(blocks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 300
    assert peak < 1_000_000


def test_a_package_that_is_the_manifests_passes() -> None:
    check_package([FILE], **MANIFEST)
    check_package([FILE[:7], FILE[7:]], **MANIFEST, class_key=KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"chunks": 3},
        {"chunks": 5},
        {"ciphertext_root": "0" * 64},
        {"file_bytes": len(FILE) - 1},
        {"file_bytes": len(FILE) + 1},
        {"file_digest": "0" * 64},
    ],
)
def test_a_package_that_is_not_the_manifests_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PackageManifestMismatch):
        check_package([FILE], **{**MANIFEST, **change})


def test_a_key_that_is_not_the_committed_one_is_refused() -> None:
    with pytest.raises(KeyCommitmentMismatch):
        check_package([FILE], **MANIFEST, class_key=ClassKey(secret("another"), "suite-1", "C5"))
    with pytest.raises(KeyCommitmentMismatch):
        check_package([FILE], **{**MANIFEST, "key_root": "0" * 64}, class_key=KEY)


def test_garbage_behind_a_true_manifest_is_found_by_trying_to_open() -> None:
    garbage = bytes(100)
    file = len(garbage).to_bytes(4, "big") + garbage
    manifest = {
        "chunks": 1,
        "ciphertext_root": leaf_hash(garbage).hex(),
        "key_root": leaf_hash(chunk_key_commitment(KEY, 0)).hex(),
        "key_commitment": KEY.commitment(),
        "file_bytes": len(file),
        "file_digest": hashlib.sha256(file).hexdigest(),
    }
    check_package([file], **manifest)  # type: ignore[arg-type]
    with pytest.raises(PackageDecryptFailed):
        check_package([file], **manifest, class_key=KEY)  # type: ignore[arg-type]


def test_a_swapped_package_is_found_although_its_manifest_numbers_look_alike() -> None:
    other = b"".join(seal_package(KEY, [*CHUNKS[:1], b"two", *CHUNKS[2:]]).file_blocks())
    assert len(FILE) == len(other)
    with pytest.raises(PackageManifestMismatch):
        check_package([other], **MANIFEST)


def test_a_package_does_not_print_its_chunks() -> None:
    assert "chunks=" not in repr(PACKAGE)


@pytest.mark.parametrize("cls", ["C2", "C7"])
def test_a_package_sealed_into_a_file_is_the_one_sealed_in_memory(cls: str) -> None:
    key = suite_key().class_key(cls)
    chunks = [b"", b"short", b"x" * 900, b"y" * 40]
    out, passes = bytearray(), 0

    def give() -> Iterator[bytes]:
        nonlocal passes
        passes += 1
        yield from chunks

    numbers, whole = seal_into(out.extend, key, give), seal_package(key, chunks)

    assert bytes(out) == b"".join(whole.file_blocks())
    assert (numbers.chunks, numbers.file_bytes) == (whole.n, whole.padded_bytes)
    assert (numbers.ciphertext_root, numbers.key_root) == (whole.ciphertext_root, whole.key_root)
    assert (numbers.key_commitment, numbers.file_digest) == (whole.key_commitment, hashlib.sha256(out).hexdigest())
    assert passes == (1 if cls == "C7" else 2)


def test_sealing_holds_one_chunk_at_a_time() -> None:
    alive: list[int] = []
    written = 0

    def give() -> Iterator[bytes]:
        for number in range(50):
            alive.append(number)
            yield bytes([number]) * 1000

    def write(block: bytes) -> None:
        nonlocal written
        written += 1
        assert len(alive) - 50 == written  # one pass to find the longest; then each is written before the next is read

    seal_into(write, suite_key().class_key("C2"), give)
    assert written == 50
