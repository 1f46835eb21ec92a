"""Steps 10 and 12 for transcripts: each is what both sides signed, what its task asks for, and graded as it must be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from attestations.canonical import parse_canonical
from attestations.commitments import FreshSalts
from attestations.documents.base import Part, decode, validated
from attestations.documents.dialogue import ModelRequest, ModelResult, request_commitment, result_commitment
from attestations.errors import (
    EvidenceMissing,
    ExchangeOmitted,
    GraderDigestMismatch,
    MalformedEnvelope,
    ReleasedContentMismatch,
    SafeconductError,
    ScoreMismatch,
)
from attestations.grading import grade, grader_digest, needs_judge
from attestations.judged import VERDICTS, Verdict
from attestations.marks import Marks, marks
from attestations.verify.opened import Content
from attestations.verify.schedule import Schedule
from attestations.verify.steps import Step
from attestations.verify.tally import Answer, Tally

_FIELDS = {"request", "request_salt", "result", "result_salt", "seq", "session"}


class _Dialogue(Part):
    request: ModelRequest
    result: ModelResult


class Answered(NamedTuple):
    """An opened transcript: what was signed about it, and its content."""

    signed: Answer
    request: Any
    result: Any

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


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


def check_transcripts(content: Content, tally: Tally, schedule: Schedule | None) -> dict[Step, SafeconductError]:
    """Read every transcript and grade it again; return the first error of each step.

    Without a schedule (its own check has failed) the transcripts are compared with their commitments only.
    """
    errors: dict[Step, SafeconductError] = {}
    try:
        for answered in read_transcripts(content, tally):
            if schedule is None or errors:
                continue
            try:
                _regrade(content, schedule, answered)
            except SafeconductError as error:
                errors[Step.FIGURES] = error
    except SafeconductError as error:
        errors[Step.OPENED] = error
    return errors


def _transcript(chunk: bytes, signed: Answer, number: int, salts: FreshSalts) -> Answered:
    value = parse_canonical(chunk)
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


def _regrade(content: Content, schedule: Schedule, answered: Answered) -> None:
    place = schedule.place(answered.signed.promise)
    if place is None:
        return  # what belongs to no task feeds no figure
    task = str(place[0])
    asked, judged = content.tasks.fields("C5", place[0]), content.tasks.fields("C6", place[0])
    prompt = asked.get("prompt")
    if not isinstance(prompt, dict) or prompt.get("request") != answered.request.json_value():
        raise ReleasedContentMismatch("another request was sent than the one committed to", task=task)
    if prompt.get("sampling") != answered.signed.sampling.json_value():
        raise ReleasedContentMismatch("an answer was drawn otherwise than committed to", task=task)
    target = judged.get("target")
    name = target.get("grader") if isinstance(target, dict) else None
    registered = {item.name: item.digest for item in content.registration.graders}
    if not isinstance(name, str) or name != judged.get("graderRef") or registered.get(name) != _digest(name):
        raise GraderDigestMismatch("a task's grader is not the registered one", task=task)
    row = content.tasks.rows.get(place)
    if row is None:
        raise EvidenceMissing("a grade is not open", task=task)
    said: tuple[Verdict | None, ...] = VERDICTS if needs_judge(target, answered.result) else (None,)
    if (said != (None,)) != (row.value.judged is True):
        raise ScoreMismatch("a grade is a judge's where it follows, or the other way round", task=task)
    _check_judge(content, target, task)
    # A judge's word cannot be repeated; that the grade is one of those its word could give can be checked.
    regraded = {grade(target, prompt, answered.result, verdict=verdict) for verdict in said}
    if (row.value.outcome, row.value.score) not in regraded:
        raise ScoreMismatch("a grade does not follow from its transcript", task=task)
    metadata = (content.tasks.fields("C3", place[0]).get("metadata"), judged.get("answerMetadata"))
    if marks(target, prompt, metadata, answered.result) != Marks(row.value.confidence, row.value.brier, row.value.bias):
        raise ScoreMismatch("what a grade says of an answer does not follow from its transcript", task=task)


def _check_judge(content: Content, target: Any, task: str) -> None:
    name = target.get("judge")
    plan = None if content.aggregate is None else content.aggregate.plan
    if name is not None and plan is not None and name not in {judge.name for judge in plan.judges}:
        raise GraderDigestMismatch("a task is graded by a model that the plan does not name", task=task)


@lru_cache
def _digest(name: str) -> str | None:
    try:
        return grader_digest(name)
    except GraderDigestMismatch:
        return None


def _salt(text: Any, number: int, salts: FreshSalts) -> bytes:
    try:
        salt = decode(text)
    except (ValueError, TypeError):
        raise MalformedEnvelope("a salt that is not base64") from None
    salts.take(salt, transcript=str(number))
    return salt
