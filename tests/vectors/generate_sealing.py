"""Vectors for padding, contexts and sealed requests.

Sealing draws randomness, so a sealed request is made once and kept for as long as it still opens.
"""

from __future__ import annotations

from typing import Any

from attestations.errors import SafeconductError
from attestations.sealing import open_request, pad, padme, request_info, seal_request
from tests.support.fixed_keys import worker_key
from tests.vectors.families import path, read, write

PLACE: dict[str, Any] = {
    "agreement": "0a" * 32,
    "session": "session-1",
    "seq": 3,
    "variant": "base",
    "evidence": "0b" * 32,
}
PLAINTEXTS = (b"", b"B", b'{"messages":[]}', b"x" * 1000)


def generate() -> Any:
    """Return the vectors."""
    key, info = worker_key(), request_info(**PLACE)
    kept = {item["plaintext"]: item["sealed"] for item in read("sealing")["requests"]} if _exists() else {}
    requests = []
    for plaintext in PLAINTEXTS:
        sealed = kept.get(plaintext.hex())
        if sealed is None or not _opens(sealed, plaintext):
            sealed = seal_request(key.public, info, plaintext).hex()
        requests.append({"plaintext": plaintext.hex(), "padded": pad(plaintext).hex(), "sealed": sealed})
    return {
        "seed": key.seed.hex(),
        "public": key.public.hex(),
        "place": PLACE,
        "info": info.hex(),
        "padme": [[length, padme(length)] for length in (0, 1, 2, 9, 100, 255, 256, 257, 1000, 4096, 4097, 1000000)],
        "requests": requests,
    }


def _exists() -> bool:
    return path("sealing").is_file()


def _opens(sealed: str, plaintext: bytes) -> bool:
    try:
        return open_request(worker_key(), request_info(**PLACE), bytes.fromhex(sealed)) == plaintext
    except SafeconductError:
        return False


if __name__ == "__main__":
    write("sealing", generate())
