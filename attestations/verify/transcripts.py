"""Steps 10 and 12 for transcripts: each is what both sides signed, what its task asks for, and graded as it must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from attestations.canonical import parse_canonical
from attestations.commitments import FreshSalts
from attestations.documents.asking import (
    MAX_HOOK_DOCUMENT_BYTES,
    OneRequest,
    OneResult,
    request_commitment,
    result_commitment,
)
from attestations.documents.base import Part, decode, validated
from attestations.errors import (
    EvidenceMissing,
    ExchangeOmitted,
    MalformedEnvelope,
    ReleasedContentMismatch,
    SafeconductError,
)
from attestations.verify.exchanges import ExchangePass
from attestations.verify.opened import Content
from attestations.verify.replaying import Answered, Replay
from attestations.verify.schedule import Schedule
from attestations.verify.steps import Step
from attestations.verify.tally import Answer, Tally

_FIELDS = {"request", "request_salt", "result", "result_salt", "seq", "session"}


class _Dialogue(Part):
    request: OneRequest
    result: OneResult


def read_transcripts(content: Content, tally: Tally) -> Iterator[Answered]:
    """Give every transcript, in the order of the log, once it equals its commitments; the last step counts them.

    Raises:
        ReleasedContentMismatch: one is not what both sides signed.
        ExchangeOmitted: one is missing.
        WeakSalt: a commitment had a salt that is short, or that another had too.
    """
    if content.transcripts is None:
        raise EvidenceMissing("transcripts are not open")
    count, salts = 0, FreshSalts()
    for count, chunk in enumerate(content.transcripts.chunks(), start=1):
        yield _transcript(chunk, tally.answer(count - 1), count - 1, salts)
    if count != tally.answers:
        raise ExchangeOmitted(
            "answered exchanges are missing from the transcripts", answered=str(tally.answers), shown=str(count)
        )


class Repeated(NamedTuple):
    """The first error of each step, and how many sandboxes gave their task less than it commits to."""

    errors: dict[Step, SafeconductError]
    narrowed: int = 0


def check_transcripts(content: Content, exchanges: ExchangePass, schedule: Schedule | None) -> Repeated:
    """Read every transcript and grade it again.

    Without a schedule (its own check has failed) the transcripts are compared with their commitments only.
    """
    errors: dict[Step, SafeconductError] = {}
    replay = None if schedule is None else Replay(content, schedule, exchanges.sandboxes)
    try:
        for answered in read_transcripts(content, exchanges.tally):
            if replay is None or errors:
                continue
            try:
                replay.take(answered)
            except SafeconductError as error:
                errors[Step.FIGURES] = error
    except SafeconductError as error:
        errors[Step.OPENED] = error
    return Repeated(errors, 0 if replay is None else replay.narrowed)


def _transcript(chunk: bytes, signed: Answer, number: int, salts: FreshSalts) -> Answered:
    value = parse_canonical(chunk, limit=2 * MAX_HOOK_DOCUMENT_BYTES)
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise MalformedEnvelope("a transcript chunk does not hold exactly its fields", transcript=str(number))
    dialogue = validated(_Dialogue, {"request": value["request"], "result": value["result"]})
    asked = request_commitment(dialogue.request, _salt(value["request_salt"], number, salts))
    answered = result_commitment(dialogue.result, _salt(value["result_salt"], number, salts))
    if (asked, answered) != (signed.request.hex(), signed.result.hex()):
        raise ReleasedContentMismatch("a transcript is not the one both sides signed", transcript=str(number))
    if type(value["seq"]) is not int or (value["session"], value["seq"]) != (signed.session, signed.seq):
        raise ReleasedContentMismatch("a transcript names another exchange than its own", transcript=str(number))
    return Answered(signed, dialogue.request, dialogue.result)


def _salt(text: Any, number: int, salts: FreshSalts) -> bytes:
    try:
        salt = decode(text)
    except (ValueError, TypeError):
        raise MalformedEnvelope("a salt that is not base64") from None
    salts.take(salt, transcript=str(number))
    return salt
