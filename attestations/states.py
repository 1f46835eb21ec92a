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
    ABORTED = "ABORTED"
    ABORT_CLOSING = "ABORT_CLOSING"
    ABORT_CLOSED = "ABORT_CLOSED"


class PhaseEvent(StrEnum):
    """What moves an engagement on."""

    REGISTER = "REGISTER"
    DRAW = "DRAW"
    PROMISE = "PROMISE"
    CLOSE = "CLOSE"
    CONFIRM_CLOSE = "CONFIRM_CLOSE"
    COMMIT_GRADES = "COMMIT_GRADES"
    DELIVER = "DELIVER"
    RELEASE = "RELEASE"
    ABORT = "ABORT"


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


class Disclosure(StrEnum):
    """Where one class stands towards one recipient."""

    ABSENT = "ABSENT"
    SEALED = "SEALED"
    PERMITTED = "PERMITTED"
    OVERDUE = "OVERDUE"
    RELEASED = "RELEASED"
    VERIFIED = "VERIFIED"
    DISPUTED = "DISPUTED"


class DisclosureEvent(StrEnum):
    """What happens to one class towards one recipient; RELEASE_EARLY is a breach as well."""

    DELIVER = "DELIVER"
    HOLD = "HOLD"
    PERMIT = "PERMIT"
    ORDER = "ORDER"
    EMERGENCY = "EMERGENCY"
    ALREADY_PUBLIC = "ALREADY_PUBLIC"
    LAPSE = "LAPSE"
    RELEASE = "RELEASE"
    RELEASE_EARLY = "RELEASE_EARLY"
    ESCROW_RELEASE = "ESCROW_RELEASE"
    VERIFY_OK = "VERIFY_OK"
    VERIFY_FAIL = "VERIFY_FAIL"


class Holding(StrEnum):
    """Whether a hold can still be stated."""

    FREE = "FREE"
    HELD = "HELD"
    SPENT = "SPENT"
    CLOSED = "CLOSED"


class HoldingEvent(StrEnum):
    """A hold, the hold that uses the last day, and the moment nothing is left to delay."""

    HOLD = "HOLD"
    SPEND = "SPEND"
    PERMIT = "PERMIT"


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
    Phase.PREREGISTERED: {
        PhaseEvent.DRAW: Phase.PREREGISTERED,
        PhaseEvent.PROMISE: Phase.RUNNING,
        PhaseEvent.CLOSE: Phase.CLOSING,
        PhaseEvent.ABORT: Phase.ABORTED,
    },
    Phase.RUNNING: {
        PhaseEvent.PROMISE: Phase.RUNNING,
        PhaseEvent.CLOSE: Phase.CLOSING,
        PhaseEvent.ABORT: Phase.ABORTED,
    },
    Phase.CLOSING: {PhaseEvent.CLOSE: Phase.CLOSING, PhaseEvent.CONFIRM_CLOSE: Phase.RUN_CLOSED},
    Phase.RUN_CLOSED: {PhaseEvent.COMMIT_GRADES: Phase.GRADED, PhaseEvent.ABORT: Phase.ABORT_CLOSED},
    Phase.GRADED: {PhaseEvent.DELIVER: Phase.PACKAGED, PhaseEvent.ABORT: Phase.ABORT_CLOSED},
    Phase.PACKAGED: {PhaseEvent.RELEASE: Phase.DISCLOSING},
    Phase.DISCLOSING: {PhaseEvent.RELEASE: Phase.DISCLOSING},
    Phase.ABORTED: {PhaseEvent.CLOSE: Phase.ABORT_CLOSING},
    Phase.ABORT_CLOSING: {PhaseEvent.CLOSE: Phase.ABORT_CLOSING, PhaseEvent.CONFIRM_CLOSE: Phase.ABORT_CLOSED},
    Phase.ABORT_CLOSED: {PhaseEvent.RELEASE: Phase.ABORT_CLOSED},
}

EXCHANGES: Mapping[Exchange, Mapping[ExchangeEvent, Exchange]] = {
    Exchange.NEW: {ExchangeEvent.INTEND: Exchange.INTENDED},
    Exchange.INTENDED: {ExchangeEvent.PROMISE: Exchange.PROMISED, ExchangeEvent.REFUSE: Exchange.REFUSED},
    Exchange.REFUSED: {},
    Exchange.PROMISED: {ExchangeEvent.REVEAL: Exchange.REVEALED, ExchangeEvent.RECORD: Exchange.ENDED},
    Exchange.REVEALED: {ExchangeEvent.RECORD: Exchange.ENDED},
    Exchange.ENDED: {},
}

DISCLOSURE: Mapping[Disclosure, Mapping[DisclosureEvent, Disclosure]] = {
    Disclosure.ABSENT: {DisclosureEvent.DELIVER: Disclosure.SEALED, DisclosureEvent.RELEASE_EARLY: Disclosure.RELEASED},
    Disclosure.SEALED: {
        DisclosureEvent.HOLD: Disclosure.SEALED,
        DisclosureEvent.PERMIT: Disclosure.PERMITTED,
        DisclosureEvent.ORDER: Disclosure.PERMITTED,
        DisclosureEvent.EMERGENCY: Disclosure.PERMITTED,
        DisclosureEvent.ALREADY_PUBLIC: Disclosure.PERMITTED,
        DisclosureEvent.RELEASE_EARLY: Disclosure.RELEASED,
    },
    Disclosure.PERMITTED: {DisclosureEvent.LAPSE: Disclosure.OVERDUE, DisclosureEvent.RELEASE: Disclosure.RELEASED},
    Disclosure.OVERDUE: {
        DisclosureEvent.RELEASE: Disclosure.RELEASED,
        DisclosureEvent.ESCROW_RELEASE: Disclosure.RELEASED,
    },
    Disclosure.RELEASED: {
        DisclosureEvent.RELEASE: Disclosure.RELEASED,
        DisclosureEvent.VERIFY_OK: Disclosure.VERIFIED,
        DisclosureEvent.VERIFY_FAIL: Disclosure.DISPUTED,
    },
    Disclosure.VERIFIED: {
        DisclosureEvent.RELEASE: Disclosure.RELEASED,
        DisclosureEvent.VERIFY_OK: Disclosure.VERIFIED,
        DisclosureEvent.VERIFY_FAIL: Disclosure.DISPUTED,
    },
    Disclosure.DISPUTED: {
        DisclosureEvent.RELEASE: Disclosure.RELEASED,
        DisclosureEvent.VERIFY_OK: Disclosure.VERIFIED,
        DisclosureEvent.VERIFY_FAIL: Disclosure.DISPUTED,
    },
}

HOLDING: Mapping[Holding, Mapping[HoldingEvent, Holding]] = {
    Holding.FREE: {
        HoldingEvent.HOLD: Holding.HELD,
        HoldingEvent.SPEND: Holding.SPENT,
        HoldingEvent.PERMIT: Holding.CLOSED,
    },
    Holding.HELD: {
        HoldingEvent.HOLD: Holding.HELD,
        HoldingEvent.SPEND: Holding.SPENT,
        HoldingEvent.PERMIT: Holding.CLOSED,
    },
    Holding.SPENT: {HoldingEvent.PERMIT: Holding.CLOSED},
    Holding.CLOSED: {},
}


def advance(table: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    """Return the state after `event`, or raise `PhaseViolation` and change nothing."""
    following = table[state].get(event)
    if following is None:
        raise PhaseViolation(f"{event.value} is not possible in {state.value}", state=state.value, event=event.value)
    return following
