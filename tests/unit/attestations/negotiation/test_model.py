"""Every order in which a network can deliver, repeat or keep back the messages of two sides, explored to the end.

The rules are those of the kernel (`apply`); what differs is only what each design makes of an acceptance. The design
of this project holds; two that look as good do not: an acceptance that is in force at once, and one without a lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Literal, NamedTuple

import pytest

from attestations.documents.agreement import Agreement
from attestations.documents.negotiation import Accept, Offer, Withdraw
from attestations.envelope import Envelope
from attestations.errors import SafeconductError
from attestations.negotiation.messages import OTHER, Accepted, Concluded, Message, Offered, Side, Withdrawn
from attestations.negotiation.thread import Thread, apply, settle
from tests.support.endpoints import body

Design = Literal["lock", "no lock", "two messages"]
SIDES: tuple[Side, Side] = ("auditor", "lab")
MOMENTS = (datetime(2026, 11, 2, 9, tzinfo=UTC), datetime(2026, 11, 2, 11, tzinfo=UTC))
ENDS = ("2026-11-02T10:00:00Z", "2026-11-02T12:00:00Z")
OFFERS: dict[Side, int] = {"auditor": 2, "lab": 1}  # each may take any of two texts


@cache
def text(number: int) -> Agreement:
    return body(number)


@cache
def signed(number: int) -> Envelope:
    return Envelope(Agreement.payload_type, text(number).to_bytes(), ())


NUMBER = {signed(number).digest: number for number in (1, 2)}


@cache
def offered(by: Side, n: int, previous: str | None, number: int, moment: int) -> Offered:
    offer = Offer(n=n, previous=previous, valid_until=ENDS[moment], body=text(number))
    return Offered(by, Envelope(offer.payload_type, offer.to_bytes(), ()), offer, signed(number).digest)


@cache
def accepted(by: Side, offer: str, number: int, until: str) -> Accepted:
    document = Accept(engagement="audit-1", offer=offer, agreement=signed(number).digest, valid_until=until)
    return Accepted(by, Envelope(document.payload_type, document.to_bytes(), ()), document, signed(number))


@cache
def withdrawn(by: Side, offer: str) -> Withdrawn:
    document = Withdraw(engagement="audit-1", offer=offer, withdrawn_at="2026-11-02T09:00:00Z")
    return Withdrawn(by, Envelope(document.payload_type, document.to_bytes(), ()), document)


@cache
def concluded(by: Side, number: int) -> Concluded:
    return Concluded(by, signed(number), text(number))


@dataclass(frozen=True)
class Party:
    """One side: its thread, the texts it has put its signature under, and the text it holds to be in force."""

    side: Side
    thread: Thread
    signed: frozenset[int] = frozenset()
    active: int | None = None

    @property
    def key(self) -> tuple[object, ...]:
        thread, lock = self.thread, self.thread.lock
        return (
            thread.state,
            None if thread.table is None else thread.table.envelope.digest,
            None if lock is None else (lock.by, lock.agreement.digest),
            tuple(sorted((name, item.n) for name, item in thread.known.items())),
            thread.seen,
            thread.lapsed,
            self.signed,
            self.active,
        )


MADE: dict[tuple[Side, str], Message] = {}


class World(NamedTuple):
    """Both sides, everything ever sent, and the present."""

    parties: tuple[Party, Party]
    sent: frozenset[tuple[Side, str]]
    moment: int

    @property
    def key(self) -> tuple[object, ...]:
        return (self.parties[0].key, self.parties[1].key, self.sent, self.moment)


def explore(design: Design, *, expiry: bool) -> tuple[int, set[str]]:
    """Return how many states there are and which invariants break; stops at the first state that breaks one."""
    start = World((Party("auditor", Thread()), Party("lab", Thread())), frozenset(), 0)
    seen, waiting, broken = {start.key}, deque([start]), set[str]()
    while waiting:
        world = waiting.popleft()
        broken |= violations(world, expiry=expiry)
        if broken:
            break
        for following in steps(world, design, expiry=expiry):
            if following.key not in seen:
                seen.add(following.key)
                waiting.append(following)
    return len(seen), broken


def violations(world: World, *, expiry: bool) -> set[str]:
    one, two = world.parties
    found = set()
    if one.active and two.active and one.active != two.active:
        found.add("I2: two agreements in force")
    for party, other in ((one, two), (two, one)):
        if party.active and party.active not in other.signed:
            found.add("I1: in force without the other's signature")
        if party.active and other.signed - {party.active} and not expiry:
            found.add("I3: the other has signed another text as well")
    return found


def steps(world: World, design: Design, *, expiry: bool) -> Iterator[World]:
    if expiry and world.moment == 0:
        yield world._replace(moment=1)
    now = MOMENTS[world.moment]
    for place, party in enumerate(world.parties):
        if party.active is None:
            for message in own(party, world):
                yield from say(world, place, message, design, now)
        for name in world.sent:
            if name[0] != party.side:
                yield from hear(world, place, MADE[name], design, now)


def own(party: Party, world: World) -> Iterator[Message]:
    thread = settle(party.thread, MOMENTS[world.moment])
    if sum(item.by == party.side for item in thread.known.values()) < OFFERS[party.side]:
        n, previous = thread.place(party.side)
        for number in (1, 2):
            yield offered(party.side, n, previous, number, world.moment)
    table = thread.table
    if table is not None and table.by == party.side:
        yield withdrawn(party.side, table.envelope.digest)
        if thread.lock is not None:
            yield concluded(party.side, NUMBER[table.agreement])
    elif table is not None:
        yield accepted(party.side, table.envelope.digest, NUMBER[table.agreement], table.offer.valid_until)


def say(world: World, place: int, message: Message, design: Design, now: datetime) -> Iterator[World]:
    party = world.parties[place]
    try:
        thread = apply(party.thread, message, now)
    except SafeconductError:
        return
    if isinstance(message, Accepted):
        number = NUMBER[message.agreement.digest]
        if design == "no lock":
            thread = settle(party.thread, now)
        party = replace(party, signed=party.signed | {number})
        if design == "two messages":
            party = replace(party, active=number)
    if isinstance(message, Concluded):
        number = NUMBER[message.envelope.digest]
        party = replace(party, signed=party.signed | {number}, active=number)
    yield changed(world, place, replace(party, thread=thread), message)


def hear(world: World, place: int, message: Message, design: Design, now: datetime) -> Iterator[World]:
    party = world.parties[place]
    if design == "no lock" and isinstance(message, Concluded):
        number = NUMBER[message.envelope.digest]
        if party.active is None and number in party.signed:
            yield changed(world, place, replace(party, active=number))
        return
    try:
        thread = apply(party.thread, message, now)
    except SafeconductError:
        return
    party = replace(party, thread=thread)
    if isinstance(message, Concluded) and party.active is None:
        party = replace(party, active=NUMBER[message.envelope.digest])
    if isinstance(message, Accepted) and design == "two messages" and party.active is None:
        # The offer itself counts as its maker's signature.
        number = NUMBER[message.agreement.digest]
        party = replace(party, signed=party.signed | {number}, active=number)
    yield changed(world, place, party)


def changed(world: World, place: int, party: Party, message: Message | None = None) -> World:
    parties = (party, world.parties[1]) if place == 0 else (world.parties[0], party)
    if message is None:
        return World(parties, world.sent, world.moment)
    name = (message.by, message.envelope.digest)
    MADE[name] = message
    return World(parties, world.sent | {name}, world.moment)


@pytest.mark.parametrize("expiry", [False, True], ids=["without expiry", "with expiry"])
def test_a_lock_until_the_offer_ends_holds_in_every_state(*, expiry: bool) -> None:
    """I1, I2, I3."""
    states, broken = explore("lock", expiry=expiry)
    assert broken == set()
    assert states > 1000


@pytest.mark.parametrize("design", ["no lock", "two messages"])
def test_designs_that_look_as_good_break(design: Design) -> None:
    _, broken = explore(design, expiry=False)
    assert broken


def test_the_sides_are_each_others_other() -> None:
    assert [OTHER[side] for side in SIDES] == ["lab", "auditor"]
