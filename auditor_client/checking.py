"""Checks what the lab signs: nothing is revealed before a Promise passes, nothing counts before a Record does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from attestations.documents.asking import AnyResult, parse_result, result_commitment
from attestations.documents.base import decode, parse_time
from attestations.documents.exchange import Intent, Meter, Promise, Record, Refusal, Usage
from attestations.documents.finetuning import FineTuneResult
from attestations.envelope import Envelope
from attestations.errors import (
    PrevHashMismatch,
    PromiseMissing,
    ResponseCommitmentMismatch,
    ResponseTruncated,
    SequenceEquivocation,
    SequenceGap,
    SignatureInvalid,
    TimeOrderViolation,
    UndeclaredRouting,
    UsageMeterMismatch,
    VariantMismatch,
)
from attestations.frames import response_salt, worker_signature_input
from attestations.training import Asked
from auditor_client.answering import ReceivedAnswer
from auditor_client.engagement import Engagement
from auditor_client.runtime_evidence import Runtime

_ROUNDING = timedelta(seconds=1)  # documents cut times to milliseconds


@dataclass(frozen=True)
class CheckedPromise:
    """A Promise that holds, and the exact bytes it came in."""

    promise: Promise
    envelope: Envelope
    data: bytes  # the envelope as it is kept and logged

    @property
    def log_index(self) -> int:
        """Where it stands in the log."""
        return int(self.promise.log_index)


@dataclass(frozen=True, repr=False)
class CheckedRecord:
    """A Record that holds, and the answer it commits to where there is one."""

    record: Record
    envelope: Envelope
    answer: bytes | None  # in its one form


def check_promise(
    envelope: Envelope,
    *,
    intent: Intent,
    intent_digest: str,
    engagement: Engagement,
    intended_at: datetime,
    now: datetime,
) -> CheckedPromise:
    """Return the lab's Promise for `intent`.

    Raises:
        SequenceGap, SequenceEquivocation: it is for another place or another Intent.
        VariantMismatch: it promises another model.
        TimeOrderViolation: its times are outside the agreed skew or deadlines.
    """
    promise = engagement.opened(envelope, Promise)
    engagement.belongs(promise.agreement)
    if (promise.session, promise.seq) != (intent.session, intent.seq):
        raise SequenceGap("the Promise is for another place", session=intent.session, seq=str(intent.seq))
    if promise.intent != intent_digest:
        raise SequenceEquivocation("the Promise names another Intent", session=intent.session, seq=str(intent.seq))
    variant = engagement.variant(intent.variant)
    promised = (promise.variant, promise.manifest, promise.evidence)
    if variant is None or promised != (engagement.variant_digest(variant), variant.manifest, intent.evidence):
        raise VariantMismatch("the Promise names another model or runtime", variant=intent.variant)
    timing = engagement.agreement.timing
    skew = timedelta(seconds=timing.skew_seconds) + _ROUNDING
    at = parse_time(promise.promised_at)
    if not intended_at - skew <= at <= now + skew:
        raise TimeOrderViolation("the Promise's time is outside the agreed skew", at=promise.promised_at)
    if parse_time(promise.reveal_by) < at + timedelta(seconds=timing.reveal_seconds) - _ROUNDING:
        raise TimeOrderViolation("the Promise gives less time to reveal than agreed", at=promise.reveal_by)
    longest = timedelta(seconds=timing.reveal_seconds + timing.respond_seconds) + _ROUNDING
    if not at <= parse_time(promise.respond_by) <= at + longest:
        raise TimeOrderViolation("the Promise's deadline is not the agreed one", at=promise.respond_by)
    return CheckedPromise(promise, envelope, envelope.to_bytes())


def check_refusal(envelope: Envelope, *, intent: Intent, intent_digest: str, engagement: Engagement) -> Refusal:
    """Return the lab's signed refusal of `intent`."""
    refusal = engagement.opened(envelope, Refusal)
    engagement.belongs(refusal.agreement)
    if (refusal.session, refusal.seq, refusal.intent) != (intent.session, intent.seq, intent_digest):
        raise SequenceEquivocation("the refusal is of another Intent", session=intent.session, seq=str(intent.seq))
    return refusal


def check_record(
    envelope: Envelope,
    received: ReceivedAnswer,
    *,
    intent: Intent,
    promised: CheckedPromise | None,
    engagement: Engagement,
    runtime: Runtime,
    response_key: bytes,
    now: datetime,
) -> CheckedRecord:
    """Return the Record of `promised` and the answer, once every frame and commitment agrees with it.

    Raises:
        ResponseTruncated, SealedOpenFailed: frames are missing or damaged; redelivery may mend it.
        ResponseCommitmentMismatch: the answer is not the recorded one.
        UsageMeterMismatch, VariantMismatch, UndeclaredRouting, TimeOrderViolation: the Record is wrong.
    """
    record = engagement.opened(envelope, Record)
    engagement.belongs(record.agreement)
    if promised is None:
        raise PromiseMissing("a Record without its Promise", session=intent.session, seq=str(intent.seq))
    if (record.session, record.seq) != (intent.session, intent.seq):
        raise SequenceGap("the Record is for another place", session=intent.session, seq=str(intent.seq))
    if record.promise != promised.envelope.digest:
        raise PrevHashMismatch("the Record is of another Promise", session=intent.session, seq=str(intent.seq))
    _check_model(record, promised.promise, intent)
    check_meter(record.usage, record.meter_before, record.meter_after)
    _check_usage(record, intent)
    asked = Asked(intent, int(promised.promise.log_index), int(record.log_index))
    engagement.training.check(engagement.agreement, asked, record.hook, charged=record.usage.input_tokens)
    _check_times(record, promised, engagement, now)
    if record.response is None:
        return CheckedRecord(record, envelope, None)
    answer, data = _check_answer(record, received, intent, engagement, runtime, response_key)
    if isinstance(answer, FineTuneResult) and answer.statement != record.hook:
        raise ResponseCommitmentMismatch("we were told otherwise of a job than the lab signed", seq=str(record.seq))
    return CheckedRecord(record, envelope, data)


def check_meter(usage: Usage, before: Meter, after: Meter) -> None:
    """Refuse a meter that does not move by exactly one request and its tokens."""
    expected = (
        int(before.requests) + 1,
        int(before.input_tokens) + usage.input_tokens,
        int(before.output_tokens) + usage.output_tokens,
    )
    if expected != (int(after.requests), int(after.input_tokens), int(after.output_tokens)):
        raise UsageMeterMismatch("the meter does not move by the recorded usage")


def _check_model(record: Record, promise: Promise, intent: Intent) -> None:
    if (record.variant, record.manifest) != (promise.variant, promise.manifest):
        raise VariantMismatch("the Record names another model than the Promise", variant=intent.variant)
    if not record.router.used and record.router.served not in (None, intent.variant):
        raise UndeclaredRouting("another model answered without a word", variant=intent.variant)


def _check_usage(record: Record, intent: Intent) -> None:
    usage, most = record.usage, intent.budget_max
    if usage.input_tokens > most.input_tokens or usage.output_tokens > most.output_tokens:
        raise UsageMeterMismatch("more tokens were used than the exchange was given", seq=str(intent.seq))
    if usage.cached_tokens > usage.input_tokens or usage.reasoning_tokens > usage.output_tokens:
        raise UsageMeterMismatch("a part of the usage is larger than the whole", seq=str(intent.seq))


def _check_times(record: Record, promised: CheckedPromise, engagement: Engagement, now: datetime) -> None:
    skew = timedelta(seconds=engagement.agreement.timing.skew_seconds) + _ROUNDING
    start, end = parse_time(record.started_at), parse_time(record.finished_at)
    if not parse_time(promised.promise.promised_at) <= start <= end <= now + skew:
        raise TimeOrderViolation("the Record's times do not follow the Promise's", seq=str(record.seq))
    if int(record.log_index) <= promised.log_index:
        raise TimeOrderViolation("the Record stands before its Promise in the log", seq=str(record.seq))


def _check_answer(
    record: Record,
    received: ReceivedAnswer,
    intent: Intent,
    engagement: Engagement,
    runtime: Runtime,
    response_key: bytes,
) -> tuple[AnyResult, bytes]:
    response = record.response
    if response is None:
        raise ResponseTruncated("no answer was recorded", seq=str(record.seq))
    content = received.result()  # raises where frames are missing or damaged
    if response.frames != received.frames or response.frames_root != received.root():
        raise ResponseTruncated("the frames that came are not those recorded", seq=str(record.seq))
    statement = worker_signature_input(
        agreement=engagement.digest,
        session=record.session,
        seq=record.seq,
        frames_root=response.frames_root,
        frames=response.frames,
        result_commitment=response.commitment,
    )
    if not runtime.worker_key.verify(decode(response.worker_signature), statement):
        raise SignatureInvalid("the worker's signature does not hold over the frames", seq=str(record.seq))
    answer = parse_result(content, intent.operation)
    data = answer.to_bytes()
    if result_commitment(data, response_salt(response_key)) != response.commitment:
        raise ResponseCommitmentMismatch("the answer is not the recorded one", seq=str(record.seq))
    return answer, data
