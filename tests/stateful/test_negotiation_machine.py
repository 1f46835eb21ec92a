"""Lab and auditor negotiate over a channel that loses, repeats and reorders, and crash between any two steps.

Both run the real kernel with real signatures; what a crash leaves is what was kept. Held in every state:
I1 an agreement is in force only with both signatures; I2 an engagement has one agreement, of which one side may have
seen fewer amendments than the other; and nobody puts its name to a second text while it is locked to a first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from attestations.documents.agreement import Agreement
from attestations.documents.base import parse_time
from attestations.errors import SafeconductError
from attestations.negotiation.ledger import Entry, parse_kept
from attestations.negotiation.messages import Accepted, Concluded, Message, Offered, Side, open_signed
from attestations.negotiation.speaking import amended, until
from attestations.negotiation.thread import Thread
from tests.support.endpoints import NOW, Endpoint, body, sides

SIDES: tuple[Side, Side] = ("auditor", "lab")
side = st.sampled_from(SIDES)
seldom = st.sampled_from([False, False, False, True])


@cache
def read(by: Side, documents: tuple[bytes, ...]) -> Message:
    """Return a kept message; an agreement in it carries both signatures (I1)."""
    message = Entry(by, "", documents).message(sides())
    if isinstance(message, Concluded):
        open_signed(message.envelope, (sides().lab, sides().auditor), sides())
    return message


def entries_of(end: Endpoint) -> list[Entry]:
    return [entry for entry in map(parse_kept, end.ledger.kept) if entry.documents]


TEXTS = [body(number) for number in range(3)]


class NegotiationMachine(RuleBasedStateMachine):
    """Two endpoints, a channel, a clock."""

    @initialize()
    def begin(self) -> None:
        self.ends = {name: Endpoint(name) for name in SIDES}
        self.channel: list[tuple[Side, tuple[bytes, ...]]] = []
        self.now = NOW

    def speak(self, by: Side, make: Callable[[Endpoint, Thread], Message], *, lost: bool) -> None:
        """Make a message, keep it and send it; or crash after keeping it, before it is sent."""
        end = self.ends[by]
        try:
            wire = end.say(make(end, end.at(self.now).thread), self.now)
        except SafeconductError:
            return
        if lost:
            self.ends[by] = end.crashed()
        else:
            self.channel.append((by, wire))

    @rule(by=side, number=st.sampled_from(range(3)), hours=st.sampled_from([0.5, 1, 3]), lost=seldom)
    def offer(self, by: Side, number: int, hours: float, *, lost: bool) -> None:
        def make(end: Endpoint, thread: Thread) -> Message:
            text: Agreement = TEXTS[number]
            if thread.in_force is not None:
                text = amended(thread.in_force, self.now, {"budget": text.budget})
            return end.voice.offer(thread, text, until(self.now, hours))

        self.speak(by, make, lost=lost)

    @rule(by=side, turns=st.integers(min_value=1, max_value=7))
    def talk(self, by: Side, turns: int) -> None:
        """Do what two sides that want an agreement do next, so that runs come to one and go on from there."""
        for turn in range(turns):
            name = SIDES[(SIDES.index(by) + turn) % 2]
            thread, before = self.ends[name].at(self.now).thread, len(self.channel)
            if thread.lock is not None and thread.lock.by != name:
                self.conclude(name, lost=False)
            elif thread.table is not None and thread.table.by != name:
                self.accept(name, lost=False)
            elif thread.table is None:
                self.offer(name, len(thread.known) % 3, 3, lost=False)
            if len(self.channel) > before:
                self.deliver(0)

    @rule(by=side, lost=seldom)
    def accept(self, by: Side, *, lost: bool) -> None:
        self.speak(by, lambda end, thread: end.voice.accept(thread), lost=lost)

    @rule(by=side, lost=seldom)
    def conclude(self, by: Side, *, lost: bool) -> None:
        self.speak(by, lambda end, thread: end.voice.conclude(thread), lost=lost)

    @rule(by=side, lost=seldom)
    def withdraw(self, by: Side, *, lost: bool) -> None:
        self.speak(by, lambda end, thread: end.voice.withdraw(thread, self.now), lost=lost)

    @rule(by=side, lost=seldom)
    def reject(self, by: Side, *, lost: bool) -> None:
        self.speak(by, lambda end, thread: end.voice.reject(thread, "no", self.now), lost=lost)

    @rule(place=st.integers(min_value=0, max_value=12))
    def deliver(self, place: int) -> None:
        """Deliver any message ever sent, again or for the first time."""
        if not self.channel:
            return
        by, wire = self.channel[-1 - place % len(self.channel)]
        try:
            self.ends["lab" if by == "auditor" else "auditor"].hear(wire, self.now)
        except SafeconductError:
            return

    @rule(by=side)
    def crash_and_send_again(self, by: Side) -> None:
        """Start again from what was kept, and send everything of ours once more."""
        end = self.ends[by] = self.ends[by].crashed()
        self.channel += [
            (by, entry.documents) for entry in end.at(self.now).entries if entry.by == by and not entry.note
        ]

    @rule(minutes=st.sampled_from([10, 40, 200]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def concluded(self, name: Side) -> list[str]:
        messages = [read(entry.by, entry.documents) for entry in entries_of(self.ends[name])]
        return [message.envelope.digest for message in messages if isinstance(message, Concluded)]

    @invariant()
    def one_agreement_with_both_signatures(self) -> None:
        """I1 and I2."""
        if not hasattr(self, "ends"):
            return
        one, two = (self.concluded(name) for name in SIDES)
        shorter = min(len(one), len(two))
        assert one[:shorter] == two[:shorter]

    @invariant()
    def a_locked_side_signs_nothing_else(self) -> None:
        if not hasattr(self, "ends"):
            return
        for name, end in self.ends.items():
            locked: tuple[str, str] | None = None
            for entry in entries_of(end):
                message = read(entry.by, entry.documents)
                if entry.by != name:
                    locked = None if isinstance(message, Concluded) else locked
                    continue
                if locked is not None and parse_time(entry.at) <= parse_time(locked[1]):
                    assert isinstance(message, Concluded)
                    assert message.envelope.digest == locked[0]
                if isinstance(message, Accepted):
                    locked = (message.agreement.digest, message.document.valid_until)
                elif isinstance(message, Offered | Concluded):
                    locked = None


TestNegotiation = NegotiationMachine.TestCase
TestNegotiation.settings = settings(
    max_examples=70,
    stateful_step_count=18,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
