"""Every state machine of the protocol as one table; code advances through these and nowhere else.

This file does not know which side is asking. `docs/spec/states.md` shows the same tables, and a test
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from attestations.errors import PhaseViolation

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class Negotiation(StrEnum):
    """Where one engagement's negotiation stands; the last four keep an agreement in force or its obligations alive."""

    NONE = "NONE"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    CONCLUDED = "CONCLUDED"
    REVISING = "REVISING"
    REVISION_ACCEPTED = "REVISION_ACCEPTED"
    TERMINATED = "TERMINATED"


class NegotiationEvent(StrEnum):
    """What can happen in a negotiation, whichever side does it."""

    OFFER = "OFFER"
    WITHDRAW = "WITHDRAW"
    REJECT = "REJECT"
    ACCEPT = "ACCEPT"
    CONCLUDE = "CONCLUDE"
    EXPIRE = "EXPIRE"
    TERMINATE = "TERMINATE"


class Phase(StrEnum):
    """Where an engagement stands once it is agreed."""

    AGREED = "AGREED"
    PREREGISTERED = "PREREGISTERED"
    RUNNING = "RUNNING"
    CLOSING = "CLOSING"
    RUN_CLOSED = "RUN_CLOSED"
    GRADED = "GRADED"
    PACKAGED = "PACKAGED"
    DISCLOSING = "DISCLOSING"


class PhaseEvent(StrEnum):
    """What moves an engagement on."""

    REGISTER = "REGISTER"
    PROMISE = "PROMISE"
    CLOSE = "CLOSE"
    CONFIRM_CLOSE = "CONFIRM_CLOSE"
    COMMIT_GRADES = "COMMIT_GRADES"
    DELIVER = "DELIVER"
    RELEASE = "RELEASE"


class Exchange(StrEnum):
    """Where one exchange stands."""

    NEW = "NEW"
    INTENDED = "INTENDED"
    REFUSED = "REFUSED"
    PROMISED = "PROMISED"
    REVEALED = "REVEALED"
    ENDED = "ENDED"


class ExchangeEvent(StrEnum):
    """What moves an exchange on; RECORD is the one terminal Record, whatever its status."""

    INTEND = "INTEND"
    REFUSE = "REFUSE"
    PROMISE = "PROMISE"
    REVEAL = "REVEAL"
    RECORD = "RECORD"


NEGOTIATION: Mapping[Negotiation, Mapping[NegotiationEvent, Negotiation]] = {
    Negotiation.NONE: {NegotiationEvent.OFFER: Negotiation.OFFERED},
    Negotiation.OFFERED: {
        NegotiationEvent.OFFER: Negotiation.OFFERED,
        NegotiationEvent.WITHDRAW: Negotiation.NONE,
        NegotiationEvent.REJECT: Negotiation.NONE,
        NegotiationEvent.ACCEPT: Negotiation.ACCEPTED,
        NegotiationEvent.EXPIRE: Negotiation.NONE,
    },
    Negotiation.ACCEPTED: {
        NegotiationEvent.CONCLUDE: Negotiation.CONCLUDED,
        NegotiationEvent.EXPIRE: Negotiation.NONE,
    },
    Negotiation.CONCLUDED: {
        NegotiationEvent.OFFER: Negotiation.REVISING,
        NegotiationEvent.TERMINATE: Negotiation.TERMINATED,
    },
    Negotiation.REVISING: {
        NegotiationEvent.OFFER: Negotiation.REVISING,
        NegotiationEvent.WITHDRAW: Negotiation.CONCLUDED,
        NegotiationEvent.REJECT: Negotiation.CONCLUDED,
        NegotiationEvent.ACCEPT: Negotiation.REVISION_ACCEPTED,
        NegotiationEvent.EXPIRE: Negotiation.CONCLUDED,
        NegotiationEvent.TERMINATE: Negotiation.TERMINATED,
    },
    Negotiation.REVISION_ACCEPTED: {
        NegotiationEvent.CONCLUDE: Negotiation.CONCLUDED,
        NegotiationEvent.EXPIRE: Negotiation.CONCLUDED,
    },
    Negotiation.TERMINATED: {},
}

PHASES: Mapping[Phase, Mapping[PhaseEvent, Phase]] = {
    Phase.AGREED: {PhaseEvent.REGISTER: Phase.PREREGISTERED},
    Phase.PREREGISTERED: {PhaseEvent.PROMISE: Phase.RUNNING, PhaseEvent.CLOSE: Phase.CLOSING},
    Phase.RUNNING: {PhaseEvent.PROMISE: Phase.RUNNING, PhaseEvent.CLOSE: Phase.CLOSING},
    Phase.CLOSING: {PhaseEvent.CLOSE: Phase.CLOSING, PhaseEvent.CONFIRM_CLOSE: Phase.RUN_CLOSED},
    Phase.RUN_CLOSED: {PhaseEvent.COMMIT_GRADES: Phase.GRADED},
    Phase.GRADED: {PhaseEvent.DELIVER: Phase.PACKAGED},
    Phase.PACKAGED: {PhaseEvent.RELEASE: Phase.DISCLOSING},
    Phase.DISCLOSING: {PhaseEvent.RELEASE: Phase.DISCLOSING},
}

EXCHANGES: Mapping[Exchange, Mapping[ExchangeEvent, Exchange]] = {
    Exchange.NEW: {ExchangeEvent.INTEND: Exchange.INTENDED},
    Exchange.INTENDED: {ExchangeEvent.PROMISE: Exchange.PROMISED, ExchangeEvent.REFUSE: Exchange.REFUSED},
    Exchange.REFUSED: {},
    Exchange.PROMISED: {ExchangeEvent.REVEAL: Exchange.REVEALED, ExchangeEvent.RECORD: Exchange.ENDED},
    Exchange.REVEALED: {ExchangeEvent.RECORD: Exchange.ENDED},
    Exchange.ENDED: {},
}


def advance(table: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    """Return the state after `event`, or raise `PhaseViolation` and change nothing."""
    following = table[state].get(event)
    if following is None:
        raise PhaseViolation(f"{event.value} is not possible in {state.value}", state=state.value, event=event.value)
    return following
