"""A party's folder: `identity.json` to hand out, `keys/` to keep; and small files read and written."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path

from attestations.errors import FileUnusable, KeyUnacceptable
from attestations.files import open_file, unreadable, unwritable
from attestations.identity import Identity, parse_identity
from attestations.keys import KeyUse, Signer, signer_from_pem
from attestations.sealing import SEED_BYTES, WorkerKey

_HEAD, _FOOT = "-----BEGIN SAFECONDUCT RECEIVE KEY-----", "-----END SAFECONDUCT RECEIVE KEY-----"


@dataclass(frozen=True)
class Keeping:
    """Where one party keeps its keys."""

    path: Path

    def identity(self) -> Identity:
        """Return the party's identity file."""
        return parse_identity(read(self.path / "identity.json"))

    def key_file(self, use: KeyUse) -> Path:
        """Return where a private key lies."""
        return self.path / "keys" / f"{use.value}.pem"

    def signer(self, identity: Identity) -> Signer:
        """Return the signer of the party's statements."""
        pem = read(self.key_file(KeyUse.AGREEMENT))
        return signer_from_pem(pem, party=identity.id, use=KeyUse.AGREEMENT)

    def receive_key(self) -> WorkerKey:
        """Return the key that secrets are sealed to.

        Raises:
            FileUnusable: it is missing.
            KeyUnacceptable: it is damaged.
        """
        lines = read(self.key_file(KeyUse.RECEIVE)).decode("ascii", errors="replace").strip().splitlines()
        try:
            if (lines[0], lines[-1]) == (_HEAD, _FOOT):
                seed = base64.b64decode("".join(lines[1:-1]), validate=True)
                if len(seed) == SEED_BYTES:
                    return WorkerKey(seed)
        except (IndexError, binascii.Error, ValueError):
            pass
        raise KeyUnacceptable("keys/receive.pem is damaged: restore it from your copy")


def receive_pem(key: WorkerKey) -> bytes:
    """Return a receive key as the text of its file."""
    return f"{_HEAD}\n{base64.b64encode(key.seed).decode()}\n{_FOOT}\n".encode()


def read(path: Path, *, limit: int = 8 << 20) -> bytes:
    """Return a small file's bytes.

    Raises:
        FileUnusable: it cannot be read, or is far too large to be what was asked for.
    """
    try:
        with open_file(path) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(data) > limit:
        raise FileUnusable(f"{path} is too large to be what was asked for", path=str(path))
    return data


def write(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file; a private one is new and only its owner can read it.

    Raises:
        FileUnusable: it cannot be written, or a private one is already there.
    """
    flags = os.O_CREAT | os.O_WRONLY | (os.O_EXCL if private else os.O_TRUNC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
        with os.fdopen(os.open(path, flags, 0o600 if private else 0o644), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise FileUnusable(f"{path} already exists; give another name", path=str(path)) from None
    except OSError as error:
        raise unwritable(path, error) from None
