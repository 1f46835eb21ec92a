"""Where a negotiation stands, as text for a person: what is on the table, what differs, what can be done next."""

from __future__ import annotations

from collections.abc import Sequence

from attestations.documents.agreement import Agreement, Terms
from attestations.documents.base import format_time
from attestations.negotiation.diff import diff_page, differences
from attestations.negotiation.ledger import Entry, Stand
from attestations.negotiation.lines import page
from attestations.negotiation.messages import Offered, Rejected, Side, Sides, Withdrawn
from attestations.negotiation.thread import Thread
from attestations.plain import plain
from attestations.states import Negotiation


def standing(thread: Thread, side: Side) -> str:
    """Return in one sentence where a negotiation stands and whose turn it is."""
    table, lock = thread.table, thread.lock
    if thread.terminated is not None:
        return f"terminated; nothing new after {thread.terminated.document.effective_at}, what is owed stays owed"
    amendment = "" if thread.in_force is None else "an agreement is in force; "
    if lock is not None:
        who = "we" if lock.by == side else "they"
        turn = "they have to conclude" if lock.by == side else "we can conclude"
        return f"{amendment}{who} accepted the offer on the table: {turn} until {format_time(lock.until)}"
    if table is not None:
        kind = "offer" if thread.in_force is None else "amendment"
        whose = f"our {kind} is on the table" if table.by == side else f"their {kind} is on the table"
        return f"{amendment}{whose} until {table.offer.valid_until}"
    if thread.endings:
        asked = "they" if any(item.by != side for item in thread.endings.values()) else "we"
        return f"{amendment}{asked} asked to end it by both signatures"
    return "an agreement is in force" if thread.in_force is not None else "nothing is on the table"


def next_steps(thread: Thread, side: Side, command: str) -> list[str]:
    """Return the commands a person can run next; `command` is how they begin and `{}` where the verb goes."""
    mine = thread.table is not None and thread.table.by == side
    verbs: list[str]
    if thread.state in (Negotiation.ACCEPTED, Negotiation.REVISION_ACCEPTED):
        verbs = [] if thread.lock is not None and thread.lock.by == side else ["conclude"]
    elif thread.table is not None:
        verbs = ["withdraw"] if mine else ["accept", "counter --edit FILE", "reject"]
    elif thread.state is Negotiation.CONCLUDED:
        verbs = ["amend --edit FILE", "terminate"]
    else:
        verbs = []
    return [command.format(verb) for verb in verbs]


def review_page(stood: Stand, side: Side, sides: Sides, terms: Terms | None) -> list[str]:
    """Return the offer on the table as a page, with what differs from the terms and from what came before it."""
    thread = stood.thread
    shown = [standing(thread, side)]
    if thread.table is None:
        return shown + _last_words(stood.entries, sides)
    body = thread.table.offer.body
    whose = "ours" if thread.table.by == side else "theirs"
    shown += [
        "",
        f"Offer {thread.table.offer.n} ({whose}), valid until {thread.table.offer.valid_until}",
        f"  offer     {thread.table.envelope.digest}",
        f"  agreement {thread.table.agreement}",
    ]
    if thread.table.consenting:
        shown.append(f"  also signed by {', '.join(sorted(thread.table.consenting))}")
    shown += ["", *page(body)]
    if thread.in_force is not None:
        shown += ["", "Changes to the agreement in force", *diff_page(differences(thread.in_force.agreement, body))]
    elif terms is not None:
        shown += ["", "Differences from the lab's terms", *diff_page(differences(terms, body))]
    before = previous_offer(stood.entries, sides, thread.table)
    if before is not None:
        shown += ["", "Changes since the offer before", *diff_page(differences(before, body))]
    return shown


def previous_offer(entries: Sequence[Entry], sides: Sides, table: Offered) -> Agreement | None:
    """Return what was offered before the offer on the table."""
    offers = [message for entry in entries if entry.documents for message in [entry.message(sides)]]
    earlier = [item for item in offers if isinstance(item, Offered) and item.envelope.digest == table.offer.previous]
    return earlier[-1].offer.body if earlier else None


def _last_words(entries: Sequence[Entry], sides: Sides) -> list[str]:
    for entry in reversed(entries):
        if not entry.documents:
            continue
        message = entry.message(sides)
        if isinstance(message, Rejected):
            reason = f": {plain(message.document.reason)}" if message.document.reason else ""
            return [f"the {message.by} rejected the last offer at {entry.at}{reason}"]
        if isinstance(message, Withdrawn):
            return [f"the {message.by} withdrew its last offer at {entry.at}"]
        if isinstance(message, Offered):
            return [f"the last offer, by the {message.by}, expired at {message.offer.valid_until}"]
        return []
    return []
