"""Vectors for the frames of one answer."""

from __future__ import annotations

from typing import Any

from attestations.frames import EventWriter, FrameSealer, frames_root, response_salt, worker_signature_input
from tests.support.fixed_keys import secret
from tests.vectors.families import write

DELTAS = ("Hello, ", "w\u00f6rld")
RESULT = b'{"text":"' + b"x" * 1100 + b'"}'


def generate() -> Any:
    """Return the vectors."""
    key = secret("response")
    writer, sealer = EventWriter(), FrameSealer(key)
    frames = [frame for delta in DELTAS for frame in writer.delta(delta)]
    frames += writer.flush()
    frames += writer.result(RESULT)
    sealed = [sealer.seal(frame.data, final=frame.final) for frame in frames]
    place: dict[str, Any] = {
        "agreement": "0a" * 32,
        "session": "session-1",
        "seq": 3,
        "frames_root": frames_root(sealed),
        "frames": len(sealed),
        "result_commitment": "0c" * 32,
    }
    return {
        "key": key.hex(),
        "salt": response_salt(key).hex(),
        "events": [*([0, delta.encode().hex()] for delta in DELTAS), [1, RESULT.hex()]],
        "frames": [
            {"data": frame.data.hex(), "final": frame.final, "sealed": ciphertext.hex()}
            for frame, ciphertext in zip(frames, sealed, strict=True)
        ],
        "root": frames_root(sealed),
        "worker": {"place": place, "input": worker_signature_input(**place).hex()},
    }


if __name__ == "__main__":
    write("frames", generate())
