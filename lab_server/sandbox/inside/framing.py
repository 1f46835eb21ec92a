"""The one byte stream between a box and its host: frames of many streams, each with its own window.

A frame is its kind (1 byte), its stream (4 bytes), its length (4 bytes, at most `MAX_PAYLOAD`) and that many bytes.
The host numbers calls evenly from 0, the box numbers connections to the model oddly from 1. A side sends no more
bytes on a stream than the other has granted (`WINDOW` to begin with), so a slow reader holds up its own stream only.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PAYLOAD = 32 << 10
WINDOW = 256 << 10
GRANT_STEP = WINDOW // 4  # granting less often keeps the channel quiet, granting later would stop the sender
MAX_WINDOW = 1 << 30  # a grant that adds up to more is an attempt to overflow
_HEAD = struct.Struct("!BII")


class Kind:
    """What a frame says, as one of these numbers."""

    CALL = 1  # host: do this (marshalled)
    REPLY = 2  # box: a call has ended so (JSON)
    OPEN = 3  # box: a program has connected to the model
    DATA = 4  # bytes: stdin, a file, the model's connection; from a program its stdout
    ERRORS = 5  # box: a program's stderr
    END = 6  # no more bytes in this direction
    STOP = 7  # host: end this call or connection now; box: the program has broken the connection off
    GRANT = 8  # so many more bytes (4 bytes) may be sent on this stream


KINDS = range(Kind.CALL, Kind.GRANT + 1)


class BadFrame(Exception):
    """Bytes that are no frames of this protocol."""


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame; `payload` is at most `MAX_PAYLOAD` bytes."""
    return _HEAD.pack(kind, stream, len(payload)) + payload


def grant(stream: int, size: int) -> bytes:
    """Return the frame that allows `size` more bytes."""
    return frame(Kind.GRANT, stream, struct.pack("!I", size))


def granted(payload: bytes) -> int:
    """Return how many bytes a grant allows.

    Raises:
        BadFrame: it is no number.
    """
    if len(payload) != 4:  # noqa: PLR2004 - one unsigned 32-bit number
        raise BadFrame("a grant that is no number")
    return int.from_bytes(payload, "big")


class Splitter:
    """Turns bytes as they arrive into frames; holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield the frames that are now complete, as (kind, stream, payload).

        Raises:
            BadFrame: a kind that does not exist, or a frame that is too long.
        """
        self._rest += data
        start = 0
        try:
            while len(self._rest) - start >= _HEAD.size:
                kind, stream, size = _HEAD.unpack_from(self._rest, start)
                if size > MAX_PAYLOAD:
                    raise BadFrame("a frame that is too long")
                if kind not in KINDS:
                    raise BadFrame("a frame of no known kind")
                end = start + _HEAD.size + size
                if len(self._rest) < end:
                    break
                payload = bytes(self._rest[start + _HEAD.size : end])
                start = end
                yield kind, stream, payload
        finally:
            del self._rest[:start]
