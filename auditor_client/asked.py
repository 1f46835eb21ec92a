"""A question that was asked, the line it waits in, and how it ended."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from attestations.documents.asking import AnyResult, parse_result
from attestations.documents.exchange import Record
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import SafeconductError
from auditor_client.campaign_state import Ending
from auditor_client.desk import Desk
from auditor_client.intending import Question

# Ends of an exchange that another one would meet as well.
_FINAL_CODES = frozenset({"BACKEND_CONTEXT_EXCEEDED", "BACKEND_UNSUPPORTED", "MODEL_CHANGED", "VARIANT_NOT_SERVED"})


@dataclass(frozen=True, repr=False)
class Answered:
    """How a question ended: the Record, and the answer where there is one."""

    question: Question
    session: str
    seq: int
    envelope: Envelope
    record: Record
    answer: AnyResult | None


@dataclass(eq=False, repr=False)
class Asked:
    """A question on its way, what it is asked for, and who waits for its answer."""

    question: Question
    purpose: str
    done: asyncio.Future[Answered]


@dataclass(eq=False, repr=False)
class Line:
    """Questions that wait for a lane: for any of a group, or for one that is kept for them alone."""

    waiting: deque[Asked] = field(default_factory=deque)
    idle: int = 0
    desk: Desk | None = None


def is_final(record: Record) -> bool:
    """Tell whether another exchange would end the same way."""
    return record.status == "REFUSED_POLICY" or record.code in _FINAL_CODES


def fail(asked: Asked, error: SafeconductError) -> None:
    """Tell whoever waits that there will be no answer, and why."""
    if not asked.done.done():
        asked.done.set_exception(error)


def answered_by(question: Question, ending: Ending) -> Answered:
    """Return how a question ended, from what its lane kept of it."""
    envelope = parse_envelope(ending.document)
    answer = None if ending.result is None else parse_result(ending.result, question.request.operation)
    return Answered(question, ending.session, ending.seq, envelope, Record.parse(envelope.payload), answer)
