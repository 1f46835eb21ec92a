"""The log of the made-up audit: signs documents through the hooks of a world and keeps every leaf."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO

from attestations.checkpoint import Checkpoint, cosign, sign_checkpoint
from attestations.documents.base import Document, format_time
from attestations.documents.engagement import LogReceipt, Release
from attestations.envelope import Envelope, pae, sign
from attestations.keys import Signer
from attestations.ledger import Ledger, Released
from attestations.log_entries import LogEntry
from attestations.merkle import Frontier, leaf_hash
from attestations.policy.evaluate import Bounds, Seen
from attestations.statements import Stated
from tests.support.world_agreement import AUDITOR, Keys

Alter = Callable[[Any], Any]


@dataclass
class Hooks:
    """What is wrong with a world; every hook is named by a label such as `record` (all) or `record:3` (one).

    `alter` replaces a document by another, or by bytes, before it is signed; `signers` signs with other keys;
    `types` gives the envelope another payload type; `envelopes` replaces the finished envelope.
    """

    alter: dict[str, Alter] = field(default_factory=dict)
    signers: dict[str, tuple[Signer, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    envelopes: dict[str, Callable[[Envelope], Envelope]] = field(default_factory=dict)

    def change(self, labels: Sequence[str], value: Any) -> Any:
        """Return `value` as the hooks want it."""
        for label in labels:
            if label in self.alter:
                value = self.alter[label](value)
        return value

    def sign(self, labels: Sequence[str], document: Document, *signers: Signer) -> Envelope:
        """Sign a document as the hooks want it."""
        if not (self.alter or self.signers or self.types or self.envelopes):
            return sign(document.payload_type, document.to_bytes(), *signers)
        changed = self.change(labels, document)
        payload = changed if isinstance(changed, bytes) else changed.to_bytes()
        kind = next((self.types[label] for label in labels if label in self.types), document.payload_type)
        used = next((self.signers[label] for label in labels if label in self.signers), signers)
        envelope = sign(kind, payload, *used)
        for label in labels:
            if label in self.envelopes:
                envelope = self.envelopes[label](envelope)
        return envelope


class WorldLog:
    """Leaves in a stream, one a line; knows its root at every size it was asked for, and its time."""

    def __init__(self, *, keys: Keys, hooks: Hooks, start: datetime, origin: str, skew: int, stream: BinaryIO) -> None:
        self.stream = stream
        self.ends = array("Q")
        self.times: dict[int, datetime] = {}
        self.events: list[tuple[int, Seen]] = []
        self.now = start
        self.agreement = ""
        self._keys, self._hooks, self._origin = keys, hooks, origin
        self._skew = timedelta(seconds=skew)
        self._frontier = Frontier()
        self.roots: dict[int, bytes] = {}
        self.kept: list[tuple[int, str]] = []
        self.ledger: Ledger | None = None

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.ends)

    def tick(self, seconds: float = 0.05) -> str:
        """Let time pass and return it."""
        self.now += timedelta(seconds=seconds)
        return format_time(self.now)

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return self.roots.setdefault(self.size, self._frontier.root())

    def append(self, kind: Any, *documents: Envelope) -> None:
        """Add a leaf."""
        leaf = LogEntry(kind, documents).to_bytes()
        self._frontier.append(leaf_hash(leaf))
        self.stream.write(leaf + b"\n")
        self.ends.append((self.ends[-1] if self.ends else 0) + len(leaf) + 1)

    def receipt(self, kind: str, document: Envelope, *labels: str, **more: str) -> None:
        """Add a document with the lab's receipt."""
        receipt = LogReceipt(
            agreement=self.agreement,
            kind=kind,
            document=document.digest,
            log_index=str(self.size),
            logged_at=self.tick(),
            **more,
        )
        names = ("receipt", f"receipt:{kind}", *(f"receipt:{label}" for label in labels))
        self.append(kind, document, self._hooks.sign(names, receipt, self._keys.lab_record))
        self.root()
        self.times[self.size] = self.now

    def seen(self, name: str, argument: str | None = None) -> None:
        """Note that the last leaf is an event of the policy."""
        moment = datetime.fromisoformat(format_time(self.now))
        bounds = Bounds(moment - self._skew, moment + self._skew)
        if self.ledger is not None and name in ("REGISTERED", "RUN_CLOSED", "DELIVERED"):
            self.ledger.seen(name, bounds)
        if name == "RUN_CLOSED" and any(seen.name == name for _, seen in self.events):
            return
        self.events.append((self.size, Seen(name, argument, bounds)))

    def took(self, stated: Stated) -> None:
        """Take a statement in the last leaf into account, as every reader of the log does."""
        moment = datetime.fromisoformat(format_time(self.now))
        ledger = self.ledger
        assert ledger is not None
        before = len(ledger.events)
        ledger.take(stated, Bounds(moment - self._skew, moment + self._skew), self.size - 1)
        self.events += [(self.size, seen) for seen in ledger.events[before:]]

    def released(self, document: Release, digest: str) -> Released:
        """Note a release in the last leaf."""
        assert self.ledger is not None
        moment = datetime.fromisoformat(format_time(self.now))
        return self.ledger.released(document, digest, Bounds(moment - self._skew, moment + self._skew), self.size - 1)

    def checkpoint(self, size: int, root: bytes, at: datetime, witnesses: Sequence[tuple[str, Signer]] = ()) -> str:
        """Return a checkpoint signed by the lab, cosigned by the auditor and by witnesses."""
        note = sign_checkpoint(Checkpoint(self._origin, size, root), self._keys.lab_log)
        note = cosign(note, name=f"{AUDITOR}/cosign", signer=self._keys.cosign, at=at)
        for name, signer in witnesses:
            note = cosign(note, name=name, signer=signer, at=at)
        return note.to_text()

    def keep(self, witnesses: Sequence[tuple[str, Signer]] = ()) -> None:
        """Keep a cosigned checkpoint of the present log, as an auditor does after each release."""
        self.kept.append((self.size, self.checkpoint(self.size, self.root(), self.now, witnesses)))

    def prefix(self, size: int) -> bytes:
        """Return the first `size` leaves as a member of an evidence file."""
        if not isinstance(self.stream, BytesIO):
            raise TypeError("a log that is kept in a file is not copied")
        return self.stream.getvalue()[: self.ends[size - 1] if size else 0]


def pae_signature(envelope: Envelope, signer: Signer) -> bytes:
    """Return another signer's signature over an envelope."""
    return signer.sign(pae(envelope.payload_type, envelope.payload))
