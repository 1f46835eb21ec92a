"""Every cosigned checkpoint of an evidence file: when a release was first seen by more than its maker."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from attestations.canonical import parse_canonical
from attestations.checkpoint import open_checkpoint
from attestations.documents.base import parse_time
from attestations.errors import (
    CheckpointInvalid,
    EvidenceMissing,
    LogEquivocation,
    MalformedEnvelope,
    SafeconductError,
    SizeLimitExceeded,
)
from attestations.notes import parse_note
from attestations.policy.evaluate import Bounds
from attestations.release_time import cosigned_time
from attestations.verify.parties import Parties
from attestations.verify.transcript import LoggedRelease, Transcript

MEMBER = "checkpoints.jsonl"
MAX_CHECKPOINTS = 4096


class Sighting(NamedTuple):
    """A state of the log that was cosigned, and when."""

    size: int
    at: datetime


class Sightings:
    """The sightings of one log, smallest first."""

    def __init__(self, parties: Parties, transcript: Transcript) -> None:
        self._parties = parties
        self._transcript = transcript
        self._skew = timedelta(seconds=parties.agreement.timing.skew_seconds)
        self._found: list[Sighting] = []
        for release in transcript.releases:
            self._try(release.document.after.encode())

    def last(self, text: bytes) -> None:
        """Take the checkpoint over the whole log; what is wrong with it, its own step says."""
        self._try(text)

    def read(self, lines: Iterable[bytes]) -> None:
        """Take the checkpoints that the auditor kept, one a line as JSON text.

        Raises:
            LogEquivocation: one is of another log of its size.
            CheckpointInvalid, SignatureInvalid, MalformedEnvelope, SizeLimitExceeded: one is not a checkpoint.
        """
        for number, line in enumerate(lines):
            if number >= MAX_CHECKPOINTS:
                raise SizeLimitExceeded(f"{MEMBER} holds more than {MAX_CHECKPOINTS} checkpoints", member=MEMBER)
            text = parse_canonical(line)
            if not isinstance(text, str):
                raise MalformedEnvelope("a kept checkpoint is a text", member=MEMBER)
            self._found.append(self._sighting(text.encode()))

    def first_after(self, release: LoggedRelease) -> Bounds:
        """Return the bounds of the time at which a release was first seen in a cosigned log.

        Raises:
            EvidenceMissing: no cosigned checkpoint holds it.
        """
        self._found.sort()
        place = bisect_right(self._found, release.index, key=lambda item: item.size)
        if place == len(self._found):
            raise EvidenceMissing("no cosigned checkpoint holds a release", leaf=str(release.index))
        seen = min(item.at for item in self._found[place:])
        # Nobody saw it before the lab logged it: a cosignature dated back proves nothing.
        seen = max(seen, parse_time(release.logged_at))
        return Bounds(seen - self._skew, seen + self._skew)

    def _try(self, text: bytes) -> None:
        try:
            self._found.append(self._sighting(text))
        except SafeconductError:
            return  # a checkpoint that gives no time gives no bound; whether it may be there is checked elsewhere

    def _sighting(self, text: bytes) -> Sighting:
        note = parse_note(text)
        checkpoint = open_checkpoint(note, origin=self._parties.agreement.origin, log_key=self._parties.lab_log)
        root = self._transcript.roots.get(checkpoint.size)
        if root is None:
            raise CheckpointInvalid("a kept checkpoint is not of this log", size=str(checkpoint.size))
        if root != checkpoint.root:
            raise LogEquivocation("the lab signed two different logs of one size", size=str(checkpoint.size))
        return Sighting(checkpoint.size, cosigned_time(note, self._parties.agreement))
