"""How an answer travels: events in frames of one size, each sealed for its place, so that a cut is noticed.

The key is the 32 random bytes that travelled inside the sealed request; one key seals one answer.
`docs/spec/sealing.md` is the normative page.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from attestations.digests import lp
from attestations.errors import MalformedEnvelope, ResponseTruncated, SealedOpenFailed, SizeLimitExceeded
from attestations.merkle import leaf_hash, merkle_root
from attestations.sealing import raw32

FRAME_BYTES = 1024
FRAME_DATA_BYTES = FRAME_BYTES - 2
SEALED_FRAME_BYTES = FRAME_BYTES + 16
MAX_EVENT_BYTES = 16 * 1024 * 1024
RESPONSE_KEY_BYTES = 32

DELTA: Final = 0
RESULT: Final = 1

_HEADER = 5  # u8 kind, u32 length
_MAX_FRAMES = 1 << 32  # the bound NIST SP 800-38D puts on one AES-GCM key, with room to spare


class PlainFrame(NamedTuple):
    """What goes into one frame (at most 1022 bytes), and whether it is the last."""

    data: bytes
    final: bool


class Event(NamedTuple):
    """One event of an answer: `DELTA` (UTF-8 text as it appears) or `RESULT` (the whole answer, once, at the end)."""

    kind: int
    data: bytes


class FrameSealer:
    """Seals the frames of one answer, in order."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(_frame_key(key))
        self._next = 0
        self._ended = False

    def seal(self, data: bytes, *, final: bool) -> bytes:
        """Return the next sealed frame, 1040 bytes whatever it holds.

        Raises:
            RuntimeError: the final frame has been sealed, or `data` is longer than a frame.
        """
        if self._ended or len(data) > FRAME_DATA_BYTES or self._next >= _MAX_FRAMES:
            raise RuntimeError("an answer ends with its final frame, and a frame holds at most 1022 bytes")
        plain = (len(data).to_bytes(2, "big") + data).ljust(FRAME_BYTES, b"\0")
        number, self._next, self._ended = self._next, self._next + 1, final
        return self._aead.encrypt(_nonce(number), plain, _aad(number, final=final))

    def __repr__(self) -> str:
        return f"<FrameSealer at frame {self._next}>"


class FrameOpener:
    """Opens the frames of one answer, in order."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(_frame_key(key))
        self._next = 0
        self._ended = False

    def open(self, n: int, ct: bytes, *, final: bool) -> bytes:
        """Return what frame number `n` holds.

        Raises:
            SealedOpenFailed: it is not the next frame of this answer, or not as it was sealed.
        """
        facts = {"frame": str(n), "expected": str(self._next)}
        if n != self._next or self._ended or n >= _MAX_FRAMES:
            raise SealedOpenFailed("a frame is missing, repeated or out of place", **facts)
        if len(ct) != SEALED_FRAME_BYTES:
            raise SealedOpenFailed("a sealed frame is 1040 bytes", **facts)
        try:
            plain = self._aead.decrypt(_nonce(n), ct, _aad(n, final=final))
        except InvalidTag:
            raise SealedOpenFailed("a frame is not the one sealed for this place", **facts) from None
        end = 2 + int.from_bytes(plain[:2], "big")
        if end > FRAME_BYTES or plain.count(0, end) != FRAME_BYTES - end:
            raise SealedOpenFailed("a frame whose padding is not in its one form", **facts)
        self._next, self._ended = n + 1, final
        return plain[2:end]

    def __repr__(self) -> str:
        return f"<FrameOpener at frame {self._next}>"


class EventWriter:
    """Turns the events of one answer into the contents of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False

    def delta(self, text: str) -> list[PlainFrame]:
        """Add text as it appears; return the frames that are full."""
        # A model may stop inside a character; the result, not the deltas, is what is committed to.
        self._add(DELTA, text.encode("utf-8", errors="replace"))
        return self._full()

    def flush(self) -> list[PlainFrame]:
        """Return what waits as one frame that is not full, so that a reader need not wait for more."""
        if not self._buffer:
            return []
        frame = PlainFrame(bytes(self._buffer), final=False)
        self._buffer.clear()
        return [frame]

    def result(self, data: bytes) -> list[PlainFrame]:
        """Add the whole answer and return all remaining frames; the last one is final."""
        self._add(RESULT, data)
        self._ended = True
        frames = self._full(keep=1)  # the final frame is never empty
        frames.append(PlainFrame(bytes(self._buffer), final=True))
        self._buffer.clear()
        return frames

    def _add(self, kind: int, data: bytes) -> None:
        if self._ended:
            raise RuntimeError("an answer ends with its result")
        if len(data) > MAX_EVENT_BYTES:
            raise SizeLimitExceeded("an event of an answer is larger than 16 MiB", bytes=str(len(data)))
        self._buffer += bytes([kind]) + len(data).to_bytes(4, "big") + data

    def _full(self, *, keep: int = 0) -> list[PlainFrame]:
        frames: list[PlainFrame] = []
        taken = 0
        while len(self._buffer) - taken >= FRAME_DATA_BYTES + keep:
            frames.append(PlainFrame(bytes(self._buffer[taken : taken + FRAME_DATA_BYTES]), final=False))
            taken += FRAME_DATA_BYTES
        del self._buffer[:taken]
        return frames


class EventReader:
    """Takes the contents of frames apart into events; holds at most one unfinished event."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = _HEADER
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the content of the next frame; return the events that are now complete.

        Raises:
            MalformedEnvelope: an unknown kind, text that is not UTF-8, or bytes after the result.
            SizeLimitExceeded: an event is larger than 16 MiB.
        """
        if self._ended and data:
            raise MalformedEnvelope("bytes after the result of an answer")
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= self._needed:
            kind, length = self._buffer[0], int.from_bytes(self._buffer[1:_HEADER], "big")
            self._check(kind, length)
            end = _HEADER + length
            if len(self._buffer) < end:
                self._needed = end
                break
            content = bytes(self._buffer[_HEADER:end])
            del self._buffer[:end]
            self._needed = _HEADER
            events.append(_event(kind, content))
            if kind == RESULT:
                self._ended = True
                if self._buffer:
                    raise MalformedEnvelope("bytes after the result of an answer")
        return events

    def finish(self) -> None:
        """Tell that the final frame was fed.

        Raises:
            ResponseTruncated: the result has not come whole.
        """
        if not self._ended:
            raise ResponseTruncated("the answer ended before its result")

    @staticmethod
    def _check(kind: int, length: int) -> None:
        if kind not in {DELTA, RESULT}:
            raise MalformedEnvelope("an event of an unknown kind", kind=str(kind))
        if length > MAX_EVENT_BYTES:
            raise SizeLimitExceeded("an event of an answer is larger than 16 MiB", bytes=str(length))


def frames_root(cts: Iterable[bytes]) -> str:
    """Return the Merkle root over the sealed frames, as hex."""
    return merkle_root(leaf_hash(ct) for ct in cts).hex()


def worker_signature_input(
    *, agreement: str, session: str, seq: int, frames_root: str, frames: int, result_commitment: str
) -> bytes:
    """Return what the worker signs over one answer; digests are hex.

    Raises:
        MalformedEnvelope: a digest that is not one.
    """
    return (
        b"safeconduct/v1 frames"
        + raw32(agreement)
        + lp(session.encode())
        + seq.to_bytes(8, "big")
        + raw32(frames_root)
        + frames.to_bytes(8, "big")
        + raw32(result_commitment)
    )


def response_salt(key: bytes) -> bytes:
    """Return the 32-byte salt of the commitment to an answer, from the key that travelled in the request."""
    return _derive(key, b"safeconduct/v1 response salt")


def _frame_key(key: bytes) -> bytes:
    return _derive(key, b"safeconduct/v1 response frames")


def _derive(key: bytes, info: bytes) -> bytes:
    if len(key) != RESPONSE_KEY_BYTES:
        raise MalformedEnvelope("a response key is 32 bytes")
    return hmac.digest(key, info + b"\x01", "sha256")  # HKDF-Expand (RFC 5869) to one block


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _aad(number: int, *, final: bool) -> bytes:
    return b"safeconduct/v1 frame" + number.to_bytes(8, "big") + bytes([final])


def _event(kind: int, content: bytes) -> Event:
    if kind == DELTA:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedEnvelope("text of an answer that is not UTF-8") from None
    return Event(kind, content)
