"""Sessions and the runtime statement they rest on."""

from __future__ import annotations

from attestations.digests import sha256
from attestations.documents.base import encode, format_time
from attestations.documents.engagement import RuntimeStatement, SessionGrant, SessionOpen
from attestations.envelope import Envelope, sign_document
from attestations.errors import PeerBindingMismatch, RateLimited, ReplayDetected
from lab_server.engagement import Engagement, Runtime, Session
from lab_server.keyring import LabKeys
from lab_server.ports import Worker
from lab_server.steps import Steps, carried_through

# A client that lost its journal opens new sessions; this only bounds the log. What runs at once is bounded elsewhere.
_SESSIONS_EVER = 100


class Opening:
    """Opens sessions and states what runs behind them."""

    def __init__(self, *, keys: LabKeys, worker: Worker, steps: Steps) -> None:
        self._keys = keys
        self._worker = worker
        self._steps = steps

    @carried_through
    async def open_session(self, engagement: Engagement, envelope: Envelope, document: SessionOpen) -> Envelope:
        """Return the grant of a session, the same bytes for the same document.

        Raises:
            PhaseViolation: the suite is not registered, or the run is closed.
            PeerBindingMismatch: the document names another TLS key than the agreement.
            ReplayDetected: another document opened a session of this name.
            RateLimited: as many sessions are open as were agreed.
        """
        async with engagement.change:
            if envelope.digest in engagement.opens:
                return engagement.receipts[envelope.digest]
            if document.session in engagement.sessions:
                raise ReplayDetected("another document opened a session of this name", session=document.session)
            engagement.check_open()
            if document.auditor_tls != engagement.agreement.transport.auditor:
                raise PeerBindingMismatch("the session names another TLS key than the agreement")
            if len(engagement.sessions) >= _SESSIONS_EVER * engagement.agreement.scope.max_sessions:
                raise RateLimited("too many sessions were opened", rule="max_sessions")

            def build(index: str, stated: str) -> list[Envelope]:
                grant = SessionGrant(
                    agreement=engagement.digest,
                    session=document.session,
                    open=envelope.digest,
                    log_index=index,
                    granted_at=stated,
                )
                return [envelope, sign_document(grant, self._keys.record)]

            documents = await engagement.log.append("session", build)
            grant = documents[1]
            engagement.sessions[document.session] = Session(document.session, 0, grant.digest)
            engagement.opens[envelope.digest] = document.session
            engagement.receipts[envelope.digest] = grant
            return grant

    @carried_through
    async def runtime(self, engagement: Engagement) -> Envelope:
        """Return the runtime statement of the running worker, logged once a boot.

        Raises:
            WorkerUnavailable: no worker runs.
            PhaseViolation: the run has not begun, or has ended: nothing new is stated.
        """
        async with engagement.change:
            keys = await self._worker.enrol(engagement.digest)
            known = engagement.runtimes.get(keys.boot)
            if known is not None:
                return known.envelope
            engagement.check_open()
            statement = RuntimeStatement.model_validate(
                {
                    "agreement": engagement.digest,
                    "level": engagement.agreement.runtime.level if keys.report is not None else "RA0",
                    "boot": keys.boot,
                    "image": keys.image,
                    "backend": keys.backend,
                    "hpke_public": encode(keys.hpke_public),
                    "worker_public": encode(keys.worker_public),
                    "nonce": sha256(bytes.fromhex(engagement.digest) + keys.boot.encode()),
                    "report_format": keys.report_format,
                    "report": None if keys.report is None else encode(keys.report),
                    "issued_at": format_time(engagement.log.time()),
                }
            )
            envelope = sign_document(statement, self._keys.record)
            await engagement.log.append_receipted("runtime", envelope)
            manifests = {variant.id: variant.manifest for variant in keys.variants}
            runtime = Runtime(keys.boot, envelope, sha256(keys.hpke_public), manifests)
            engagement.runtimes[keys.boot] = runtime
            engagement.evidence[envelope.digest] = runtime.hpke_digest
            return envelope
