"""The gateway's composition root: the only place that names concrete adapters."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from attestations.documents.agreement import Access as AccessTerms, Budget, Runtime, Scope, Terms, Timing, Variant
from attestations.documents.base import format_time, validated
from attestations.errors import ConfigurationInvalid, PortInUse
from attestations.identity import Identity, parse_identity
from attestations.policy.defaults import standard_policy
from attestations.policy.lint import lint
from attestations.policy.model import Policy
from lab_server.disclosing import Disclosing
from lab_server.engagements import Engagements
from lab_server.exchanging import Exchanging
from lab_server.home import Home, spki_pin
from lab_server.interceptors.errors import TranslateErrors
from lab_server.interceptors.logs import LogCalls
from lab_server.negotiating import Admitted, Negotiating
from lab_server.opening import Opening
from lab_server.ports import ServedVariant
from lab_server.services.access import AccessServicer
from lab_server.services.disclosure import DisclosureServicer, EvidenceServicer
from lab_server.services.negotiation import NegotiationServicer
from lab_server.services.transcript import TranscriptServicer
from lab_server.services.worker_client import MAX_MESSAGE_BYTES, WorkerClient
from lab_server.settings import AuditorSettings, Settings, TimingSettings
from lab_server.storage.sqlite import SqliteStore
from lab_server.supervisor import SupervisedWorker
from lab_server.transcribing import Transcribing
from safeconduct.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    disclosure_service_pb2,
    disclosure_service_pb2_grpc,
    evidence_service_pb2,
    evidence_service_pb2_grpc,
    negotiation_service_pb2,
    negotiation_service_pb2_grpc,
    transcript_service_pb2,
    transcript_service_pb2_grpc,
)

GRACE_SECONDS = 5.0
PURGE_SECONDS = 300.0
_SERVICES = {
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (negotiation_service_pb2, "NegotiationService"),
        (access_service_pb2, "AccessService"),
        (transcript_service_pb2, "TranscriptService"),
        (disclosure_service_pb2, "DisclosureService"),
        (evidence_service_pb2, "EvidenceService"),
    )
}
log = structlog.get_logger()


class SystemClock:
    """The machine's clock, in whole milliseconds."""

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class Running:
    """A gateway that serves."""

    address: str
    aborted: int


def log_to(path: Path) -> None:
    """Send structlog's JSON lines to a file."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=path.open("a", buffering=1)),
    )


@asynccontextmanager
async def lab(home: Home, settings: Settings) -> AsyncIterator[Running]:
    """Serve until the context ends; leaves nothing half done.

    Raises:
        PortInUse, FileUnusable, ConfigurationInvalid, StoreFailed and what the worker says when it cannot start.
    """
    async with AsyncExitStack() as stack:
        clock, keys, identity = SystemClock(), home.read_keys(), home.read_identity()
        _check_address(settings.listen.address)
        admitted_identities = [
            (grant, parse_identity(home.read(home.relative(grant.identity)))) for grant in settings.auditor
        ]
        store = SqliteStore(home.store)
        stack.push_async_callback(store.close)
        worker = SupervisedWorker(home, WorkerClient)
        stack.push_async_callback(worker.close)
        await worker.start()

        engagements = Engagements(keys=keys, store=store, clock=clock)
        await engagements.restore()
        exchanging = Exchanging(keys=keys, store=store, worker=worker, clock=clock)
        aborted = 0
        for engagement in engagements.all:
            if engagement.log.broken is None:
                aborted += await exchanging.abort_open(engagement)
            else:
                log.error("engagement_refused", agreement=engagement.digest, why=engagement.log.broken)
        served = (await worker.enrol("")).variants
        await worker.forget("")

        def terms_for(grant: AuditorSettings, auditor: Identity) -> Admitted:
            async def terms() -> Terms:
                return _terms(home, settings, grant, identity, auditor, served, clock.now())

            return Admitted(auditor, spki_pin(auditor.tls or ""), terms)

        negotiating = Negotiating(
            admitted=[terms_for(grant, auditor) for grant, auditor in admitted_identities],
            engagements=engagements,
            keys=keys,
            store=store,
            clock=clock,
        )
        server = grpc.aio.server(
            interceptors=(TranslateErrors(), LogCalls()),
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        negotiation_service_pb2_grpc.add_NegotiationServiceServicer_to_server(NegotiationServicer(negotiating), server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessServicer(engagements=engagements, opening=Opening(keys=keys, worker=worker), exchanging=exchanging),
            server,
        )
        transcript_service_pb2_grpc.add_TranscriptServiceServicer_to_server(
            TranscriptServicer(engagements=engagements, transcribing=Transcribing(keys=keys)), server
        )
        disclosure_service_pb2_grpc.add_DisclosureServiceServicer_to_server(
            DisclosureServicer(engagements=engagements, disclosing=Disclosing(keys=keys, store=store)), server
        )
        evidence_service_pb2_grpc.add_EvidenceServiceServicer_to_server(EvidenceServicer(engagements), server)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        reflection.enable_server_reflection([*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        port = _listen(home, settings, server, identity, [item for _, item in admitted_identities])
        await server.start()
        await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
        host = settings.listen.address.rpartition(":")[0]
        purge = asyncio.create_task(_purge(store, clock))
        try:
            yield Running(f"{host}:{port}", aborted)
        finally:
            purge.cancel()
            await healthy.enter_graceful_shutdown()
            await server.stop(GRACE_SECONDS)
            await exchanging.drain()


def _listen(
    home: Home, settings: Settings, server: grpc.aio.Server, identity: Identity, auditors: list[Identity]
) -> int:
    roots = "".join(auditor.tls or "" for auditor in auditors).encode()
    if not roots:
        raise ConfigurationInvalid(
            "no auditor is admitted: run `safeconduct lab admit IDENTITY.json` first", field="auditor"
        )
    credentials = grpc.ssl_server_credentials(
        [(home.read(home.key_file("tls")), (identity.tls or "").encode())],
        root_certificates=roots,
        require_client_auth=True,
    )
    try:
        return server.add_secure_port(settings.listen.address, credentials)
    except RuntimeError:
        raise PortInUse(
            f"cannot listen at {settings.listen.address}: another program does, or it is not ours to use",
            address=settings.listen.address,
        ) from None


def _check_address(address: str) -> None:
    # gRPC says only "failed to bind"; try first, so that the sentence can say why.
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationInvalid("listen.address is written as 127.0.0.1:7443", field="listen.address")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise PortInUse(f"cannot listen at {address}: {error.strerror}", address=address) from None


def _terms(
    home: Home,
    settings: Settings,
    grant: AuditorSettings,
    lab_identity: Identity,
    auditor: Identity,
    served: tuple[ServedVariant, ...],
    now: datetime,
) -> Terms:
    by_id = {variant.id: variant for variant in served}
    wanted = grant.variants or tuple(variant.id for variant in settings.variant)
    declared = {variant.id: variant for variant in settings.variant}
    for name in wanted:
        if name not in declared:
            raise ConfigurationInvalid(f"{grant.identity} is granted {name}, which is not declared", field="variants")
    able = set.intersection(*(set(by_id[name].operations) for name in wanted))
    return Terms(
        lab=lab_identity.party(),
        auditor=auditor.id,
        gateway=spki_pin(lab_identity.tls or ""),
        origin_prefix=f"{lab_identity.id}/safeconduct",
        variants=tuple(
            Variant(
                id=name,
                kind=declared[name].kind,
                parent=declared[name].parent,
                manifest=by_id[name].manifest,
                template=by_id[name].template,
                note=declared[name].note,
            )
            for name in wanted
        ),
        scope=Scope(
            variants=wanted,
            operations=tuple(name for name in grant.operations if name in able),
            tools=grant.tools and all(by_id[name].tools for name in wanted),
            max_top_logprobs=min([grant.max_top_logprobs, *(by_id[name].max_top_logprobs for name in wanted)]),
            max_output_tokens=grant.max_output_tokens,
            max_sessions=grant.max_sessions,
        ),
        budget=Budget(
            requests=grant.requests,
            input_tokens=grant.input_tokens,
            output_tokens=grant.output_tokens,
            crashes=grant.crashes,
            unrevealed=grant.unrevealed,
        ),
        access=AccessTerms(not_before=grant.not_before, not_after=grant.not_after, business_days=grant.business_days),
        timing=_timing(settings.timing),
        runtime=Runtime(level="RA0"),
        policy=read_policy(home, grant),
        issued_at=format_time(now),
    )


def read_policy(home: Home, grant: AuditorSettings) -> Policy:
    """Return the policy of one auditor's terms; one that the linter refuses is refused here already."""
    if grant.policy is None:
        return standard_policy()
    path = home.relative(grant.policy)
    try:
        value = json.loads(home.read(path))
    except ValueError:
        raise ConfigurationInvalid(f"{path} is not JSON", field="policy") from None
    policy = validated(Policy, value)
    lint(policy)
    return policy


def _timing(settings: TimingSettings) -> Timing:
    return Timing.model_validate(settings.model_dump())


async def _purge(store: SqliteStore, clock: SystemClock) -> None:
    while True:
        await store.purge_frames(now=format_time(clock.now()))
        await asyncio.sleep(PURGE_SECONDS)
