"""Sealed packages: the content of one class, delivered before anyone knows a result, opened later by one key.

Each chunk has its own key, and each key is committed to: AES-GCM alone would let a cheat prepare two
openings of one ciphertext. `docs/spec/sealing.md` is the normative page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from attestations.commitments import ClassKey
from attestations.errors import (
    KeyCommitmentMismatch,
    MalformedEnvelope,
    PackageDecryptFailed,
    PackageManifestMismatch,
    SizeLimitExceeded,
)
from attestations.merkle import Frontier, leaf_hash
from attestations.sealing import pad, padded_length, unpad

MAX_CHUNK_BYTES = 16 * 1024 * 1024
MAX_CHUNKS = 1 << 24

_LENGTH = 4
_TAG = 16
_ONCE = bytes(12)  # every chunk key seals exactly one chunk, so the nonce can be fixed


@dataclass(frozen=True)
class SealedPackage:
    """The sealed chunks of one class and the numbers its manifest states.

    `key_commitment` binds the class key; `key_root` binds each chunk's key, so that a single chunk can be
    opened and checked.
    """

    chunks: tuple[bytes, ...] = field(repr=False)
    ciphertext_root: str
    key_root: str
    key_commitment: str

    @property
    def n(self) -> int:
        """How many chunks there are."""
        return len(self.chunks)

    @property
    def padded_bytes(self) -> int:
        """How many bytes the file form has."""
        return sum(_LENGTH + len(chunk) for chunk in self.chunks)

    def file_blocks(self) -> Iterator[bytes]:
        """Give the file form, a chunk at a time."""
        for chunk in self.chunks:
            yield len(chunk).to_bytes(_LENGTH, "big") + chunk


class SealedFile(NamedTuple):
    """The numbers a manifest states about a package that was written as a file."""

    chunks: int
    ciphertext_root: str
    key_root: str
    key_commitment: str
    file_bytes: int
    file_digest: str


def seal_package(class_key: ClassKey, chunks: Sequence[bytes]) -> SealedPackage:
    """Seal the content of one class, one chunk a task or exchange, in memory; see `seal_into`.

    Raises:
        SizeLimitExceeded: a chunk is too large.
    """
    sealed: list[bytes] = []
    numbers = _seal(class_key, chunks, _floor(class_key, chunks), sealed.append)
    return SealedPackage(tuple(sealed), numbers.ciphertext_root, numbers.key_root, numbers.key_commitment)


def seal_into(
    write: Callable[[bytes], object], class_key: ClassKey, chunks: Callable[[], Iterable[bytes]]
) -> SealedFile:
    """Seal the content of one class into a file, a chunk at a time.

    A class key seals one package: sealing two different contents under it would use its chunk keys twice.
    The lab holds the ciphertext long before it may be opened, and lengths would tell it which answers were
    right and which tasks are decoys: all chunks of a class are padded to the longest. Only transcripts (C7)
    keep their own length, which the lab knows from having answered them.

    Args:
        write: takes the file's bytes, piece by piece.
        class_key: the class's key.
        chunks: gives the chunks from the first on, each time it is called; twice, to find the longest.

    Raises:
        SizeLimitExceeded: a chunk is too large.
    """
    digest, size = hashlib.sha256(), 0

    def keep(ciphertext: bytes) -> None:
        nonlocal size
        block = len(ciphertext).to_bytes(_LENGTH, "big") + ciphertext
        digest.update(block)
        size += len(block)
        write(block)

    numbers = _seal(class_key, chunks(), _floor(class_key, () if class_key.cls == "C7" else chunks()), keep)
    return numbers._replace(file_bytes=size, file_digest=digest.hexdigest())


def _floor(class_key: ClassKey, chunks: Iterable[bytes]) -> int:
    return 0 if class_key.cls == "C7" else max(map(padded_length, chunks), default=0)


def _seal(class_key: ClassKey, chunks: Iterable[bytes], floor: int, keep: Callable[[bytes], object]) -> SealedFile:
    ciphertexts, keys, count = Frontier(), Frontier(), 0
    for i, chunk in enumerate(chunks):
        plaintext = pad(chunk, floor=floor)
        if len(plaintext) + _TAG > MAX_CHUNK_BYTES:
            raise SizeLimitExceeded("a chunk of a package is larger than 16 MiB", chunk=str(i))
        key = class_key.task_key(i)
        ciphertext = AESGCM(key).encrypt(_ONCE, plaintext, None)
        ciphertexts.append(leaf_hash(ciphertext))
        keys.append(leaf_hash(_commitment(key)))
        keep(ciphertext)
        count = i + 1
    return SealedFile(count, ciphertexts.root().hex(), keys.root().hex(), class_key.commitment(), 0, "")


def chunk_key_commitment(class_key: ClassKey, i: int) -> bytes:
    """Return the 32-byte commitment to the key of chunk `i`."""
    return _commitment(class_key.task_key(i))


def iter_package(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the sealed chunks of a package file that comes in blocks of any size; holds one chunk at a time.

    Raises:
        MalformedEnvelope: the file ends inside a chunk, or a chunk is too short to be one.
        SizeLimitExceeded: a chunk is larger than 16 MiB, or there are too many.
    """
    buffer = bytearray()
    count, needed = 0, _LENGTH
    for block in blocks:
        position = 0
        while position < len(block):
            # Never takes more than the chunk at hand needs, so a large block is not held twice.
            taken = block[position : position + needed - len(buffer)]
            buffer += taken
            position += len(taken)
            if len(buffer) < needed:
                break
            if needed == _LENGTH:
                needed = _LENGTH + _chunk_length(buffer, count)
                continue
            yield bytes(buffer[_LENGTH:])
            buffer.clear()
            count, needed = count + 1, _LENGTH
    if buffer:
        raise MalformedEnvelope("a package file that ends inside a chunk", chunk=str(count))


def open_chunk(class_key: ClassKey, i: int, ct: bytes) -> bytes:
    """Return the content of sealed chunk `i`.

    Raises:
        PackageDecryptFailed: it does not open under its key, or its padding is not in its one form.
    """
    return open_chunk_with(class_key.task_key(i), i, ct)


def open_chunk_with(key: bytes, i: int, ct: bytes) -> bytes:
    """Return the content of one sealed chunk under its own key, as a random sample releases it.

    Raises:
        PackageDecryptFailed: it does not open, or its padding is not in its one form.
    """
    try:
        content = unpad(AESGCM(key).decrypt(_ONCE, ct, None), floored=True)
    except (InvalidTag, ValueError):
        content = None
    if content is None:
        raise PackageDecryptFailed("a sealed chunk does not open under its key", chunk=str(i))
    return content


def check_package(
    blocks: Iterable[bytes],
    *,
    chunks: int,
    ciphertext_root: str,
    key_root: str,
    key_commitment: str,
    file_bytes: int,
    file_digest: str,
    class_key: ClassKey | None = None,
) -> None:
    """Check a package file against the numbers of its signed manifest; with the class key, also that every chunk opens.

    Raises:
        PackageManifestMismatch: number of chunks, root, size or digest are not the manifest's.
        KeyCommitmentMismatch: the class key or a chunk's key is not the committed one.
        PackageDecryptFailed: a chunk does not open.
        MalformedEnvelope, SizeLimitExceeded: not a package file.
    """
    if class_key is not None and class_key.commitment() != key_commitment:
        raise KeyCommitmentMismatch("the key of a package is not the committed one", content_class=class_key.cls)
    measure = _Measure(blocks, file_bytes)
    ciphertexts, keys, count = Frontier(), Frontier(), 0
    for count, ciphertext in enumerate(iter_package(measure), start=1):
        if count > chunks:
            raise PackageManifestMismatch("a package of more chunks than its manifest states", chunks=str(chunks))
        ciphertexts.append(leaf_hash(ciphertext))
        if class_key is not None:
            keys.append(leaf_hash(chunk_key_commitment(class_key, count - 1)))
            open_chunk(class_key, count - 1, ciphertext)
    stated = (chunks, ciphertext_root, file_bytes, file_digest)
    if (count, ciphertexts.root().hex(), measure.size, measure.digest.hexdigest()) != stated:
        raise PackageManifestMismatch("a package is not the one its manifest states", chunks=str(count))
    if class_key is not None and keys.root().hex() != key_root:
        raise KeyCommitmentMismatch("the keys of chunks are not the committed ones", content_class=class_key.cls)


class _Measure:
    """Passes blocks on and keeps their total size and digest."""

    def __init__(self, blocks: Iterable[bytes], limit: int) -> None:
        self._blocks = blocks
        self._limit = limit
        self.size = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self.size += len(block)
            if self.size > self._limit:
                raise PackageManifestMismatch("a package larger than its manifest states", bytes=str(self._limit))
            self.digest.update(block)
            yield block


def _chunk_length(header: bytearray, count: int) -> int:
    length = int.from_bytes(header, "big")
    if length <= _TAG:
        raise MalformedEnvelope("a sealed chunk too short to be one", chunk=str(count))
    if length > MAX_CHUNK_BYTES or count >= MAX_CHUNKS:
        raise SizeLimitExceeded("a sealed chunk larger than 16 MiB, or too many of them", chunk=str(count))
    return length


def _commitment(key: bytes) -> bytes:
    return hashlib.sha256(b"safeconduct/v1 kc" + key).digest()
