"""Opens a session or takes one up again, and keeps to what the lab says runs behind it."""

from __future__ import annotations

from dataclasses import replace

from attestations.documents.base import format_time
from attestations.documents.engagement import SessionGrant, SessionOpen
from attestations.envelope import Envelope, parse_envelope
from attestations.errors import AgreementDigestMismatch, SequenceEquivocation
from auditor_client.campaign_state import Session
from auditor_client.desk import Desk
from auditor_client.engagement import signed
from auditor_client.leaf_checks import sent_name
from auditor_client.runtime_evidence import Runtime, check_runtime


class SessionKeeper:
    """One lane's session and runtimes."""

    def __init__(self, desk: Desk, session: Session | None) -> None:
        self._desk = desk
        self.session = session
        self.runtime: Runtime | None = None
        self._runtimes: dict[str, Runtime] = {}

    async def ready(self) -> Session:
        """Return the session once the lab grants it, or proves that its log still holds ours."""
        session = self.session
        if session is None or session.prev is None:
            return await self._open(session)
        await self._desk.cosigner.resume(session.name)
        await self.refresh_runtime()
        return session

    async def _open(self, session: Session | None) -> Session:
        desk = self._desk
        if session is None:
            name = f"s-{desk.randomness(8).hex()}"
            opening = SessionOpen(
                agreement=desk.engagement.digest,
                session=name,
                nonce=desk.randomness(32).hex(),
                auditor_tls=desk.tls,
                opened_at=format_time(desk.clock.now()),
            )
            envelope = signed(opening, desk.engagement.keys.exchange)
            session = Session(name, envelope.to_bytes())
            await desk.journal.remember(sent_name(envelope), envelope.to_bytes())
            await desk.journal.begin_session(session)
            self.session = session
        opened = await desk.lab.open_session(parse_envelope(session.opening))
        grant = desk.engagement.opened(opened.grant, SessionGrant)
        desk.engagement.belongs(grant.agreement)
        if (grant.session, grant.open) != (session.name, parse_envelope(session.opening).digest):
            raise SequenceEquivocation("the lab granted another session", session=session.name)
        await self._use(opened.runtime)
        granted = replace(session, prev=opened.grant.digest)
        await desk.journal.begin_session(granted)
        self.session = granted
        return granted

    async def refresh_runtime(self) -> None:
        """Learn what runs now and check it; new Intents name it."""
        await self._use(await self._desk.lab.runtime(self._desk.engagement.digest))

    async def _use(self, envelope: Envelope) -> None:
        if envelope.digest not in self._runtimes:
            runtime = check_runtime(envelope, self._desk.engagement)
            await self._desk.journal.remember(f"runtime/{runtime.digest}", envelope.to_bytes())
            self._runtimes[runtime.digest] = runtime
        self.runtime = self._runtimes[envelope.digest]

    def runtime_of(self, digest: str) -> Runtime:
        """Return the checked runtime an Intent names."""
        if digest not in self._runtimes:
            kept = self._desk.journal.recall(f"runtime/{digest}")
            if kept is None:
                raise AgreementDigestMismatch("the Intent names a runtime we do not hold", evidence=digest)
            self._runtimes[digest] = check_runtime(parse_envelope(kept), self._desk.engagement)
        return self._runtimes[digest]
