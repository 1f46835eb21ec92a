"""How a checked leaf enters the ledger: the one place where lab and auditor read disclosure off their logs."""

from __future__ import annotations

from datetime import timedelta

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.documents.engagement import LogReceipt, Release
from attestations.ledger import Ledger
from attestations.log_entries import LogEntry
from attestations.policy.evaluate import Bounds
from attestations.release_time import made_at_or_never
from attestations.statements import open_statement

_SHOWN = {"registration": "REGISTERED", "close": "RUN_CLOSED", "delivery": "DELIVERED"}
FOLLOWED = (*_SHOWN, "event", "statement", "release", "amendment")


def follow(ledger: Ledger, entry: LogEntry, agreement: str) -> None:
    """Take a leaf into account whose signatures and place are checked; other kinds than `FOLLOWED` say nothing.

    Args:
        ledger: is changed.
        entry: the leaf.
        agreement: the agreement's digest, which statements carry.
    """
    if entry.kind not in FOLLOWED:
        return
    first, receipt = entry.documents[0], LogReceipt.parse(entry.documents[-1].payload)
    leaf = int(receipt.log_index)
    if entry.kind in _SHOWN:
        ledger.seen(_SHOWN[entry.kind], around(receipt.logged_at, ledger))
    elif entry.kind == "amendment":
        ledger.agreement = Agreement.parse(first.payload)
    elif entry.kind == "release":
        document = Release.parse(first.payload)
        at = made_at_or_never(document.after, receipt.logged_at, ledger.agreement)
        ledger.released(document, first.digest, at, leaf)
    else:
        ledger.take(open_statement(first, ledger.agreement, agreement), around(receipt.logged_at, ledger), leaf)


def around(stated: str, ledger: Ledger) -> Bounds:
    """Return the bounds of a time that one side's clock gave, within the agreed skew."""
    skew, moment = timedelta(seconds=ledger.agreement.timing.skew_seconds), parse_time(stated)
    return Bounds(moment - skew, moment + skew)
