"""The one Record that ends an exchange, durable with every frame before either is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from attestations.documents.base import format_time, parse_time
from attestations.documents.exchange import Intent, Record, Router, SafetyLayer
from attestations.documents.finetuning import TrainingStatement, job_name
from attestations.envelope import Envelope, sign_document
from attestations.errors import SafeconductError
from attestations.sandboxes import check_stated
from attestations.training import Asked
from lab_server.engagement import Engagement, OpenExchange, Session
from lab_server.hook_port import NOTHING_USED
from lab_server.keyring import LabKeys
from lab_server.ports import JobOutcome, NewFrames, StoredFrame


class Ending(NamedTuple):
    """How an exchange ended: what the worker said, its frames, when it began, and the auditor's cancellation."""

    outcome: JobOutcome
    frames: tuple[StoredFrame, ...] = ()
    started: datetime | None = None
    cancel: Envelope | None = None


def ended(pending: OpenExchange, status: str, code: str) -> JobOutcome:
    """Return the outcome of an exchange that the worker said nothing about."""
    return JobOutcome(
        status=status,
        code=code,
        response=None,
        finish_reason=None,
        usage=NOTHING_USED,
        decode_config=None,
        manifest=pending.terms.manifest,
        router=Router(used=False),
        safety=SafetyLayer(input="none", output="none"),
        fingerprint=None,
    )


class Recording:
    """Signs and keeps Records."""

    def __init__(self, *, keys: LabKeys) -> None:
        self._keys = keys

    async def end(self, engagement: Engagement, session: Session, pending: OpenExchange, ending: Ending) -> None:
        """Record how an exchange ended and show it to whoever follows.

        Raises:
            StoreFailed: it did not become durable.
        """
        intent = pending.intent
        outcome = _stated(engagement, pending, _within(intent, ending.outcome))
        completed = outcome.status == "COMPLETED"
        kept = timedelta(seconds=engagement.agreement.timing.redeliver_seconds)

        def build(index: str, stated: str) -> list[Envelope]:
            before, after = engagement.book.settle((intent.session, intent.seq), outcome.usage)
            started = stated if ending.started is None else format_time(min(ending.started, parse_time(stated)))
            record = Record.model_validate(
                {
                    "agreement": engagement.digest,
                    "session": intent.session,
                    "seq": intent.seq,
                    "promise": pending.promise.digest,
                    "log_index": index,
                    "status": outcome.status,
                    "code": outcome.code,
                    "response": outcome.response,
                    "finish_reason": outcome.finish_reason,
                    "usage": outcome.usage,
                    "meter_before": before,
                    "meter_after": after,
                    "started_at": started,
                    "finished_at": stated,
                    "decode_config": outcome.decode_config,
                    "manifest": pending.terms.manifest,
                    "variant": pending.terms.variant,
                    "fingerprint": outcome.fingerprint,
                    "router": outcome.router,
                    "safety_layer": outcome.safety,
                    "worker": pending.boot,
                    "redeliver_until": format_time(parse_time(stated) + kept),
                    "hook": outcome.hook,
                }
            )
            signed = sign_document(record, self._keys.record)
            engagement.training.take(engagement.agreement, intent, record, promised=int(pending.terms.log_index))
            session.prev, session.open = signed.digest, None
            engagement.counts[record.status] += 1
            engagement.unrevealed += record.code == "REVEAL_OVERDUE"
            return [signed] if ending.cancel is None else [ending.cancel, signed]

        def keep(now: datetime) -> NewFrames:
            return NewFrames(intent.session, intent.seq, ending.frames, format_time(now + kept))

        try:
            documents = await engagement.log.append(
                "record", build, session=intent.session, seq=intent.seq, frames=keep if completed else None
            )
        except SafeconductError:
            pending.changed.set()
            raise
        last = [frame for frame in ending.frames if frame.final] if completed else []
        pending.publish(*last, documents[-1])


def _stated(engagement: Engagement, pending: OpenExchange, outcome: JobOutcome) -> JobOutcome:
    # A worker that misstates its hooks must not make us sign what every verifier would refuse. Nothing is awaited
    # from here until the leaf has its place, so the Record is the next one.
    asked = Asked(pending.intent, int(pending.terms.log_index), engagement.log.next_index)
    if _unknown(engagement, pending.intent, outcome):
        return _failed(outcome, "JOB_UNKNOWN", status="REFUSED_POLICY")
    try:
        check_stated(pending.intent, outcome.status, outcome.hook)
        charged = outcome.usage.input_tokens
        engagement.training.check(engagement.agreement, asked, outcome.hook, charged=charged)
    except SafeconductError:
        return _failed(outcome, "HOOK_MISSTATED")
    return outcome


def _unknown(engagement: Engagement, intent: Intent, outcome: JobOutcome) -> bool:
    # The worker may know of a job whose start is not recorded yet, or was recorded as a crash; the log knows of none.
    hook = outcome.hook
    if intent.operation != "fine_tune" or not isinstance(hook, TrainingStatement):
        return False
    return hook.job not in engagement.training.jobs and hook.job != job_name(intent.plaintext_commit)


def _within(intent: Intent, outcome: JobOutcome) -> JobOutcome:
    # A backend that overruns what both sides reserved must not enter the meter: every verifier would refuse the log.
    used, most = outcome.usage, intent.budget_max
    if used.input_tokens <= most.input_tokens and used.output_tokens <= most.output_tokens:
        return outcome
    return _failed(outcome, "USAGE_OVER_BUDGET")


def _failed(outcome: JobOutcome, code: str, *, status: str = "ERROR") -> JobOutcome:
    return replace(outcome, status=status, code=code, response=None, finish_reason=None, usage=NOTHING_USED, hook=None)
