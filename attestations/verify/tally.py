"""What the exchanges of a log amount to: counts, the meter, and a few packed bytes for each Promise and answer."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from attestations.documents.dialogue import Sampling
from attestations.documents.exchange import Intent, Meter, Status, Usage
from attestations.errors import ExchangeOmitted, PromiseUnfulfilled

STATUSES: tuple[Status, ...] = (
    "COMPLETED",
    "REFUSED_POLICY",
    "ERROR",
    "TIMEOUT",
    "CANCELLED_BY_AUDITOR",
    "ABORTED_CRASH",
)
HANDLE_BYTES = 32
_OPEN = 255
_ANSWER = struct.Struct(">32s32sQIQI")


class Answer(NamedTuple):
    """What both sides signed about one answered exchange: commitments, the Promise's number, place and sampling."""

    request: bytes
    result: bytes
    promise: int
    session: str
    seq: int
    sampling: Sampling


def _zeros() -> dict[str, int]:
    return dict.fromkeys(("promised", *STATUSES, "refusals"), 0)


@dataclass
class Tally:
    """Grows with the log by about 140 bytes an exchange: what tasks and transcripts are later compared with."""

    counts: dict[str, int] = field(default_factory=_zeros)
    meter: Meter = field(default_factory=Meter)
    sessions: list[str] = field(default_factory=list)
    _handles: bytearray = field(default_factory=bytearray)
    _statuses: bytearray = field(default_factory=bytearray)
    _answers: bytearray = field(default_factory=bytearray)
    _used: array[int] = field(default_factory=lambda: array("Q"))
    _asked: array[int] = field(default_factory=lambda: array("H"))
    _variants: list[str] = field(default_factory=list)
    _samplings: list[Sampling] = field(default_factory=list)
    _sampling_numbers: dict[Sampling, int] = field(default_factory=dict)

    def promised(self, handle: str, variant: str) -> int:
        """Count a Promise and return its number."""
        self._handles += bytes.fromhex(handle)
        self._statuses.append(_OPEN)
        self._used.extend((0, 0))
        if variant not in self._variants:
            self._variants.append(variant)
        self._asked.append(self._variants.index(variant))
        self.counts["promised"] += 1
        return self.counts["promised"] - 1

    def ended(self, promise: int, status: Status, usage: Usage) -> None:
        """Count the end of a Promise."""
        self.counts[status] += 1
        self._used[2 * promise], self._used[2 * promise + 1] = usage.input_tokens, usage.output_tokens
        self._statuses[promise] = STATUSES.index(status)

    def answered(self, promise: int, intent: Intent, session: int, commitment: str) -> None:
        """Keep what an answer's transcript must equal."""
        sampling = self._sampling_numbers.get(intent.sampling)
        if sampling is None:
            sampling = self._sampling_numbers[intent.sampling] = len(self._samplings)
            self._samplings.append(intent.sampling)
        self._answers += _ANSWER.pack(
            bytes.fromhex(intent.plaintext_commit), bytes.fromhex(commitment), promise, session, intent.seq, sampling
        )

    @property
    def promises(self) -> int:
        """How many Promises there are."""
        return len(self._statuses)

    @property
    def answers(self) -> int:
        """How many exchanges were answered."""
        return len(self._answers) // _ANSWER.size

    def handle(self, promise: int) -> bytes:
        """Return the handle under which a Promise was asked for."""
        return bytes(self._handles[HANDLE_BYTES * promise : HANDLE_BYTES * (promise + 1)])

    def used(self, promise: int) -> tuple[int, int]:
        """Return the tokens that a Promise read and wrote."""
        return self._used[2 * promise], self._used[2 * promise + 1]

    def variant(self, promise: int) -> str:
        """Return the variant that a Promise is for."""
        return self._variants[self._asked[promise]]

    def status(self, promise: int) -> Status:
        """Return how a Promise ended."""
        code = self._statuses[promise]
        if code == _OPEN:
            raise PromiseUnfulfilled("a Promise has no Record", promise=str(promise))
        return STATUSES[code]

    def answer(self, number: int) -> Answer:
        """Return one answer, in the order of the log.

        Raises:
            ExchangeOmitted: there are not so many.
        """
        if not 0 <= number < self.answers:
            raise ExchangeOmitted("more transcripts than answered exchanges", answer=str(number))
        request, result, promise, session, seq, sampling = _ANSWER.unpack_from(self._answers, number * _ANSWER.size)
        return Answer(request, result, promise, self.sessions[session], seq, self._samplings[sampling])
