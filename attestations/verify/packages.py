"""Step 10, packages: each sealed package is the one its manifest describes, and opens chunk by chunk."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator

from attestations.commitments import ClassKey
from attestations.container import Container
from attestations.documents.engagement import Package
from attestations.errors import EvidenceMissing, KeyCommitmentMismatch, PackageManifestMismatch
from attestations.merkle import Frontier, leaf_hash
from attestations.packages import chunk_key_commitment, iter_package, open_chunk

_LENGTH = 4


class PackageReader:
    """One package of an evidence file; `chunks` checks it whole, `chunk` opens a single one again later."""

    def __init__(self, container: Container, package: Package, key: ClassKey | None) -> None:
        self._container = container
        self._package = package
        self._key = key
        self._starts = array("Q")  # where each sealed chunk begins, eight bytes a chunk
        self.name = f"packages/{package.content_class}.sealed"
        if self.name not in container.names:
            raise EvidenceMissing(f"{self.name} is missing", member=self.name)
        if str(container.size(self.name)) != package.file_bytes:
            raise PackageManifestMismatch(f"{self.name} is not as long as its manifest says", member=self.name)

    def check(self) -> None:
        """Check a package that stays sealed, or whose chunks nobody needs."""
        for _ in self.chunks():
            pass

    def chunks(self) -> Iterator[bytes]:
        """Give the opened chunks (empty bytes while sealed); the last step checks the whole package.

        Raises:
            PackageManifestMismatch: it is not the package of the manifest.
            PackageDecryptFailed: a chunk does not open.
            KeyCommitmentMismatch: a chunk's key is not the committed one.
            MalformedEnvelope, SizeLimitExceeded: not a package file.
        """
        package, key = self._package, self._key
        ciphertexts, keys, count, position = Frontier(), Frontier(), 0, 0
        digest = hashlib.sha256()
        self._starts = array("Q")
        blocks = _measured(self._container.blocks(self.name), digest)
        for count, ciphertext in enumerate(iter_package(blocks), start=1):
            if count > package.chunks:
                raise PackageManifestMismatch(f"{self.name} holds more chunks than its manifest says")
            ciphertexts.append(leaf_hash(ciphertext))
            self._starts.append(position + _LENGTH)
            position += _LENGTH + len(ciphertext)
            if key is None:
                yield b""
                continue
            keys.append(leaf_hash(chunk_key_commitment(key, count - 1)))
            yield open_chunk(key, count - 1, ciphertext)
        stated = (package.chunks, package.ciphertext_root, package.file_digest)
        if (count, ciphertexts.root().hex(), digest.hexdigest()) != stated:
            raise PackageManifestMismatch(f"{self.name} is not the sealed package of the manifest", member=self.name)
        if key is not None and keys.root().hex() != package.key_root:
            raise KeyCommitmentMismatch(f"the chunk keys of {package.content_class} are not the committed ones")

    def chunk(self, i: int) -> bytes:
        """Return opened chunk `i` again, after `chunks` has been read to its end."""
        if self._key is None or not 0 <= i < len(self._starts):
            raise EvidenceMissing(f"{self.name} is not open", member=self.name)
        start = self._starts[i]
        end = self._starts[i + 1] - _LENGTH if i + 1 < len(self._starts) else self._container.size(self.name)
        return open_chunk(self._key, i, self._container.part(self.name, start, end - start))


def _measured(blocks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block
