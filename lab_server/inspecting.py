"""What a person sees of the engagements: phases, counts, budgets and the log, read from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attestations.checkpoint import parse_checkpoint
from attestations.notes import parse_note
from lab_server.engagements import Engagements
from lab_server.home import Home
from lab_server.reading import NoClock, reading_store

T = TypeVar("T")


async def look(home: Home, read: Callable[[Engagements], T]) -> T:
    """Return what `read` finds in the engagements of the store."""
    async with reading_store(home) as store:
        engagements = Engagements(keys=home.read_keys(), store=store, clock=NoClock())
        await engagements.restore()
        return read(engagements)


async def describe(home: Home) -> list[str]:
    """Return a few lines for each engagement."""
    keys = home.read_keys()
    async with reading_store(home) as store:
        engagements = Engagements(keys=keys, store=store, clock=NoClock())
        await engagements.restore()
        lines = []
        for item in engagements.all:
            cosigned = await store.cosigned(item.digest)
            size = parse_checkpoint(parse_note(cosigned)).size if cosigned else 0
            counts, left = item.counts, item.book.left()
            lines += [
                f"{item.agreement.engagement} with {item.agreement.party('auditor').id}: {item.phase.value}"
                + ("" if item.log.broken is None else f" (REFUSED: {item.log.broken})"),
                f"  agreement {item.digest}",
                f"  {item.promised} promised: "
                + ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count)
                + f"; {len(item.open_exchanges)} open, {item.refusals} refused",
                f"  left: {left.requests} requests, {left.input_tokens} input and {left.output_tokens} output tokens",
                f"  log: {item.log.size} leaves, {size} of them cosigned",
                *(
                    f"  released: {made.document.content_class} to {made.document.recipient}, release {digest}"
                    for digest, made in item.ledger.releases.items()
                ),
                *(f"  {logged.words}" for logged in item.ledger.findings),
                *(
                    f"  counts for nothing: leaf {breach.leaf}, {breach.error.message} [{breach.error.reason}]"
                    for breach in item.ledger.breaches
                ),
            ]
    return lines or ["no agreement is in force"]
