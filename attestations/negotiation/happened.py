"""What a log says has happened, as far as an amendment must not undo it: events, releases and what was used.

Leaves are only read here; whoever keeps a log has checked them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attestations.documents.agreement import Agreement
from attestations.documents.exchange import Meter
from attestations.following import follow
from attestations.ledger import Ledger
from attestations.log_entries import parse_entry
from attestations.policy.evaluate import RELEASED, SHOWN, Seen


@dataclass(frozen=True)
class Happened:
    """The events of a log in order, with releases as `RELEASED(class:recipient)`, and what was used so far."""

    events: Sequence[Seen] = ()
    used: Meter | None = None

    @property
    def releases(self) -> tuple[tuple[str, str], ...]:
        """Every (class, recipient) that was released."""
        made = [event for event in self.events if event.name in (RELEASED, SHOWN)]
        named = [event.argument.split(":", 1) for event in made if event.argument]
        return tuple((content_class, recipient) for content_class, recipient in named)


def read_happened(leaves: Iterable[bytes], *, agreement: Agreement, digest: str) -> Happened:
    """Return what leaves that are no exchange say; `digest` is that of the first agreement, which they carry."""
    ledger = Ledger(agreement)
    for leaf in leaves:
        follow(ledger, parse_entry(leaf), digest)
    return Happened(tuple(ledger.events))
