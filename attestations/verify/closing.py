"""Step 6: whether what both sides signed at the end is what the log holds."""

from __future__ import annotations

from attestations.documents.engagement import CloseStatement
from attestations.errors import CloseStatementMismatch
from attestations.verify.exchanges import ExchangePass


def check_close(close: CloseStatement, exchanges: ExchangePass, *, size: int, root: bytes) -> None:
    """Compare the close statement with the log before it, of `size` leaves and this root.

    Raises:
        CloseStatementMismatch: size, root, a count, the meter or a session differs; the facts name which.
    """
    if (close.tree_size, close.root) != (str(size), root.hex()):
        raise CloseStatementMismatch("the close statement is about another log", count="root")
    counts, stated = exchanges.tally.counts, close.counts
    pairs = {
        "promised": (stated.promised, counts["promised"]),
        "completed": (stated.completed, counts["COMPLETED"]),
        "refusedPolicy": (stated.refused_policy, counts["REFUSED_POLICY"]),
        "error": (stated.error, counts["ERROR"]),
        "timeout": (stated.timeout, counts["TIMEOUT"]),
        "cancelled": (stated.cancelled, counts["CANCELLED_BY_AUDITOR"]),
        "abortedCrash": (stated.aborted_crash, counts["ABORTED_CRASH"]),
        "refusals": (stated.refusals, counts["refusals"]),
    }
    for name, (said, counted) in pairs.items():
        if said != str(counted):
            raise CloseStatementMismatch(f"the close statement counts {said} for {name}, the log {counted}", count=name)
    if close.meter != exchanges.tally.meter:
        raise CloseStatementMismatch("the close statement's meter is not the log's", count="meter")
    ends = {end.session: end.next_seq for end in close.sessions}
    if len(ends) != len(close.sessions) or ends != {
        name: session.next_seq for name, session in exchanges.sessions.items()
    }:
        raise CloseStatementMismatch("the close statement's sessions are not the log's", count="sessions")
