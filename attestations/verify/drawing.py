"""Steps 4 and 11: a registered draw was made by its rule, after both commitments and before the first Promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from attestations.checkpoint import open_checkpoint
from attestations.documents.base import decode, parse_time
from attestations.documents.drawing import Draw, DrawRule
from attestations.documents.engagement import LogReceipt, PreRegistration
from attestations.draw import beacon, draw, draw_seed, share_commitment
from attestations.errors import SelectionNotReproducible
from attestations.notes import parse_note
from attestations.verify.parties import Parties


@dataclass
class Drawing:
    """What the log shows of a draw; `seed` is there once it holds."""

    rule: DrawRule | None = None
    seed: bytes | None = None
    _root: str = ""
    _registration: str = ""
    _receipt: LogReceipt | None = None
    _first: int = 0
    _roots: dict[int, bytes] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether a draw was registered and has not been made yet."""
        return self.rule is not None and self.seed is None

    def registered(self, document: PreRegistration, digest: str, index: int, receipt: LogReceipt) -> None:
        """Take the rule and both commitments.

        Raises:
            SelectionNotReproducible: the lab has committed to no share.
        """
        self.rule, self._root, self._registration = document.draw, document.suite.root, digest
        self._receipt, self._first = receipt, index
        if document.draw is not None and receipt.share_commit is None:
            raise SelectionNotReproducible("the lab committed to no share of the registered draw")

    def keep_root(self, size: int, root: bytes) -> None:
        """Keep the root the log had at a size, for the beacon to be compared with."""
        self._roots[size] = root

    def made(self, document: Draw, receipt: LogReceipt, parties: Parties, *, promised: bool) -> None:
        """Check the draw that the log holds.

        Raises:
            SelectionNotReproducible: it does not follow from what was registered.
            WeakSalt: a share is not 32 bytes, or both sides have the same.
        """
        if self.rule is None or self._receipt is None or document.registration != self._registration:
            raise SelectionNotReproducible("a draw that was not registered")
        if self.seed is not None:
            raise SelectionNotReproducible("the items were drawn twice")
        if promised:
            raise SelectionNotReproducible("the items were drawn after the first Promise")
        if receipt.share is None:
            raise SelectionNotReproducible("the lab showed no share of the draw")
        ours, theirs = decode(document.share), decode(receipt.share)
        if share_commitment(ours) != self.rule.share_commit:
            raise SelectionNotReproducible("the auditor's share of the draw is not the one it committed to")
        if share_commitment(theirs) != self._receipt.share_commit:
            raise SelectionNotReproducible("the lab's share of the draw is not the one it committed to")
        made = self._beacon(document, parties)
        self.seed = draw_seed(suite_root=self._root, auditor_share=ours, lab_share=theirs, beacon=made)
        self._roots.clear()

    def check_made(self) -> None:
        """Check, at the end of a run in which something was asked, that a registered draw was made.

        Raises:
            SelectionNotReproducible: it was not.
        """
        if self.waiting:
            raise SelectionNotReproducible("items were asked without the draw that was registered")

    def chosen(self, bank: Sequence[int]) -> frozenset[int] | None:
        """Return the items of the opened bank that were drawn; None where nothing was to be drawn.

        Raises:
            SelectionNotReproducible: the draw does not hold, or the bank is of another size than registered.
        """
        if self.rule is None:
            return None
        if self.seed is None:
            raise SelectionNotReproducible("the registered draw was not made, or does not hold")
        if len(bank) != self.rule.bank:
            raise SelectionNotReproducible(
                f"the bank holds {len(bank)} scored items, registered were {self.rule.bank}", bank=str(len(bank))
            )
        return frozenset(draw(self.seed, bank, self.rule.drawn))

    def _beacon(self, document: Draw, parties: Parties) -> bytes:
        note, agreement = parse_note(document.beacon), parties.agreement
        checkpoint = open_checkpoint(note, origin=agreement.origin, log_key=parties.lab_log)
        if checkpoint.size <= self._first:
            raise SelectionNotReproducible("the beacon is older than the commitments", size=str(checkpoint.size))
        if self._roots.get(checkpoint.size) != checkpoint.root:
            raise SelectionNotReproducible("the beacon is of another log, or of a later one", size=str(checkpoint.size))
        made, earliest = beacon(note, agreement)
        assert self._receipt is not None  # noqa: S101 - `made` has checked it
        # Cosignatures tell whole seconds only.
        tolerated = timedelta(seconds=agreement.timing.skew_seconds + 1)
        if earliest + tolerated < parse_time(self._receipt.logged_at):
            raise SelectionNotReproducible("the beacon is dated before the commitments")
        return made
