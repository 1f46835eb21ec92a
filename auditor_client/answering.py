"""Puts a sealed answer together from its frames, as they come."""

from __future__ import annotations

from collections.abc import Callable

from attestations.errors import ResponseTruncated, SafeconductError, SizeLimitExceeded
from attestations.frames import EventReader, FrameOpener, frames_root
from auditor_client.ports import SealedFrame

MAX_FRAMES = 65_536  # 64 MiB: far above any answer within the largest output budget in use
_DELTA, _RESULT = 0, 1

OnText = Callable[[str], None]


class ReceivedAnswer:
    """The frames of one answer; what is wrong with them is told when the result is asked for."""

    def __init__(self, response_key: bytes, *, on_text: OnText | None = None) -> None:
        self._opener = FrameOpener(response_key)
        self._events = EventReader()
        self._on_text = on_text
        self._ciphertexts: list[bytes] = []
        self._result: bytes | None = None
        self._final = False
        self._wrong: SafeconductError | None = None

    @property
    def frames(self) -> int:
        """How many frames came."""
        return len(self._ciphertexts)

    def root(self) -> str:
        """Return the Merkle root over the frames that came."""
        return frames_root(self._ciphertexts)

    def take(self, frame: SealedFrame) -> None:
        """Take the next frame; a bad one spoils the rest, which redelivery may mend."""
        if self._wrong is not None:
            return
        try:
            if self._final:
                raise ResponseTruncated("frames after the final one", frame=str(frame.number))
            if len(self._ciphertexts) >= MAX_FRAMES:
                raise SizeLimitExceeded("an answer of too many frames")
            content = self._opener.open(frame.number, frame.ciphertext, final=frame.final)
            self._ciphertexts.append(frame.ciphertext)
            self._final = frame.final
            for kind, data in self._events.feed(content):
                if kind == _RESULT:
                    self._result = data
                elif self._on_text is not None:
                    self._on_text(data.decode("utf-8", errors="replace"))
        except SafeconductError as error:
            self._wrong = error

    def result(self) -> bytes:
        """Return the answer's bytes.

        Raises:
            ResponseTruncated: the final frame or the result is missing.
            SealedOpenFailed: a frame is missing, out of place or damaged.
        """
        if self._wrong is not None:
            raise self._wrong
        if not self._final or self._result is None:
            raise ResponseTruncated("the answer ended before its final frame", frames=str(self.frames))
        return self._result
