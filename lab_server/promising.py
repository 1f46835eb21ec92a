"""Intent answered by a blind Promise, or by a signed refusal in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from attestations.documents.agreement import HOOKS
from attestations.documents.base import format_time, parse_time
from attestations.documents.exchange import Intent, Promise, Refusal
from attestations.envelope import Envelope, sign_document
from attestations.errors import HookRefused, RateLimited, RefusedError, ScopeExceeded
from attestations.states import Phase, PhaseEvent
from lab_server.engagement import Engagement, OpenExchange, Session
from lab_server.keyring import LabKeys
from lab_server.scope import check_scope

MAX_REFUSALS = 100  # signed and logged; after that an unsigned error, or a log could be flooded
Overdue = Callable[[Engagement, Session, OpenExchange], None]
Refuses = Callable[[str], str | None]


class Promising:
    """Decides on Intents that stand in their right place."""

    def __init__(self, *, keys: LabKeys, refuses: Refuses, on_overdue: Overdue) -> None:
        """Sign with `keys`; `refuses` says why a hook is declined; `on_overdue` hears of a Promise not used in time."""
        self._keys = keys
        self._refuses = refuses
        self._on_overdue = on_overdue

    async def answer(self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent) -> Envelope:
        """Return a Promise, or a refusal that says why not; durable in either case.

        Raises:
            PhaseViolation: no exchange may begin; nothing is logged, because the log may be closed.
            RateLimited: too many were refused already.
            StoreFailed: nothing became durable.
        """
        engagement.check_open()
        try:
            return await self._promise(engagement, session, envelope, intent)
        except RefusedError as refusal:
            return await self._refuse(engagement, session, envelope, intent, refusal)

    async def _promise(self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent) -> Envelope:
        agreement, now = engagement.agreement, engagement.log.time()
        variant = engagement.variant(intent.variant)
        check_scope(agreement, intent, variant, now=now)
        assert variant is not None  # noqa: S101 - check_scope
        if intent.operation in HOOKS and (why := self._refuses(intent.operation)) is not None:
            raise HookRefused(why, rule=intent.operation)
        self._check_rates(engagement)
        engagement.training.check_start(agreement, intent, engagement.training_waiting())
        if intent.evidence not in engagement.evidence:
            # A Promise repeats what the Intent names: one that is not in the log would make the log worthless.
            raise ScopeExceeded("the Intent names a runtime that is not in the log", rule="evidence")
        if intent.worker_key != engagement.evidence[intent.evidence]:
            raise ScopeExceeded("the Intent names another key than its runtime", rule="worker_key")
        quota = engagement.book.reserve((intent.session, intent.seq), intent.budget_max)
        timing = agreement.timing

        def build(index: str, stated: str) -> list[Envelope]:
            reveal_by = parse_time(stated) + timedelta(seconds=timing.reveal_seconds)
            promise = Promise(
                agreement=engagement.digest,
                session=intent.session,
                seq=intent.seq,
                intent=envelope.digest,
                log_index=index,
                promised_at=stated,
                reveal_by=format_time(reveal_by),
                respond_by=format_time(reveal_by + timedelta(seconds=timing.respond_seconds)),
                manifest=variant.manifest,
                variant=engagement.variant_digest(variant),
                evidence=intent.evidence,
                quota_left=quota,
            )
            pending = OpenExchange(intent, envelope.digest, sign_document(promise, self._keys.record), promise)
            session.open = pending
            session.next_seq += 1
            engagement.promised += 1
            if engagement.phase is Phase.PREREGISTERED:
                engagement.move(PhaseEvent.PROMISE)
            pending.overdue = asyncio.get_running_loop().call_later(
                timing.reveal_seconds, self._on_overdue, engagement, session, pending
            )
            return [envelope, pending.promise]

        return (await engagement.log.append("promise", build, session=intent.session, seq=intent.seq))[1]

    @staticmethod
    def _check_rates(engagement: Engagement) -> None:
        unused, allowed = engagement.unrevealed, engagement.agreement.budget.unrevealed
        if unused and unused >= allowed:
            raise RateLimited("too many Promises were never used", rule="unrevealed")
        if len(engagement.open_exchanges) >= engagement.agreement.scope.max_sessions:
            raise RateLimited("as many exchanges are open as were agreed", rule="max_sessions")

    async def _refuse(
        self, engagement: Engagement, session: Session, envelope: Envelope, intent: Intent, why: RefusedError
    ) -> Envelope:
        if engagement.refusals >= MAX_REFUSALS:
            raise RateLimited("too many refused requests", rule="refusals") from None

        def build(index: str, stated: str) -> list[Envelope]:
            refusal = Refusal(
                agreement=engagement.digest,
                session=intent.session,
                seq=intent.seq,
                intent=envelope.digest,
                log_index=index,
                reason=why.reason,
                rule=why.facts.get("rule"),
                why=why.message[:500] if isinstance(why, HookRefused) else None,
                refused_at=stated,
            )
            signed = sign_document(refusal, self._keys.record)
            session.prev = signed.digest
            session.next_seq += 1
            engagement.refusals += 1
            return [envelope, signed]

        return (await engagement.log.append("refusal", build, session=intent.session, seq=intent.seq))[1]
