"""What the mirrored log says besides the exchanges: the events a policy waits for, and what was disclosed.

Leaves were checked when they were mirrored; here they are only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from attestations.deviations import declared
from attestations.documents.agreement import HOOKS, Agreement
from attestations.documents.engagement import CloseStatement, LogReceipt, PreRegistration, Release, RuntimeStatement
from attestations.documents.exchange import Intent, Record, Refusal
from attestations.elicitation.hooks import HookBook
from attestations.following import follow
from attestations.ledger import Breach, Deviation, Ledger
from attestations.log_entries import LogEntry, parse_entry
from attestations.policy.evaluate import Seen
from auditor_client.mirror import Mirror

_HOOKED = (b'"kind":"promise"}', b'"kind":"record"}')
_OPERATIONS = tuple(b'"operation":"%s"' % name.encode() for name in sorted(HOOKS))
EXCHANGES = tuple(b'"kind":"%s"}' % kind for kind in (b"promise", b"record", b"session"))


@dataclass
class History:
    """What the log says of disclosure, and the documents an attestation repeats."""

    ledger: Ledger
    runtimes: dict[str, RuntimeStatement] = field(default_factory=dict)
    close: CloseStatement | None = None
    close_digest: str | None = None
    registration_digest: str | None = None
    registration_index: str = "0"
    manifest_digest: str | None = None
    plan: str | None = None
    grades_index: int | None = None
    delivered: bool = False
    hooks: HookBook = field(default_factory=HookBook)

    @property
    def events(self) -> Sequence[Seen]:
        """The events that count for the policy, in order."""
        return self.ledger.events

    @property
    def breaches(self) -> Sequence[Breach]:
        """What stands in the log and counts for nothing, and why."""
        return self.ledger.breaches

    @property
    def deviations(self) -> list[Deviation]:
        """The deviations from the plan that count: all so far, or those logged before the grades were."""
        return declared(self.ledger, self.plan, self.grades_index)

    def releases(self, content_class: str, recipient: str) -> list[Release]:
        """Return the releases of a class that a recipient may use: its own and those to the public."""
        made = [item.document for item in self.ledger.releases.values()]
        return [r for r in made if r.content_class == content_class and r.recipient in (recipient, "PUBLIC")]


def read_history(mirror: Mirror, agreement: Agreement, digest: str) -> History:
    """Read every leaf that is no exchange."""
    history = History(Ledger(agreement))
    hooked = not HOOKS.isdisjoint(agreement.scope.operations)
    for leaf in mirror.leaves():
        if not leaf.endswith(EXCHANGES) or (hooked and leaf.endswith(_HOOKED)):
            entry = parse_entry(leaf)
            _read(entry, history)
            follow(history.ledger, entry, digest)
    return history


def _read(entry: LogEntry, history: History) -> None:
    first = entry.documents[0]
    match entry.kind:
        case "registration":
            history.registration_digest = first.digest
            history.plan = PreRegistration.parse(first.payload).plan
            history.registration_index = LogReceipt.parse(entry.documents[-1].payload).log_index
        case "runtime":
            history.runtimes[first.digest] = RuntimeStatement.parse(first.payload)
        case "close":
            history.close, history.close_digest = CloseStatement.parse(first.payload), first.digest
        case "grades":
            history.grades_index = int(LogReceipt.parse(entry.documents[-1].payload).log_index)
        case "manifest":
            history.manifest_digest = first.digest
        case "delivery":
            history.delivered = True
        case "refusal":
            refused = entry.documents[-1]
            history.hooks.refusal(Intent.parse(first.payload), Refusal.parse(refused.payload), refused.digest)
        case "promise":
            if any(operation in first.payload for operation in _OPERATIONS):
                history.hooks.promised(Intent.parse(first.payload), entry.documents[-1].digest)
        case "record":
            recorded = entry.documents[-1]
            asked = (promise.encode() for promise in history.hooks.asked)
            if b'"hook":{' in recorded.payload or any(promise in recorded.payload for promise in asked):
                history.hooks.record(Record.parse(recorded.payload), recorded.digest)
        case _:
            pass
