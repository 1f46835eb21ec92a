"""The gateway's composition root: the only place that names concrete adapters."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from attestations.digests import sha256
from attestations.documents.agreement import Terms
from attestations.documents.base import format_time
from attestations.envelope import sign_document
from attestations.errors import ConfigurationInvalid, PortInUse, SafeconductError, StoreFailed
from attestations.files import Lines
from attestations.identity import Identity, parse_identity
from lab_server.admitted import Admitted
from lab_server.carrying import Carrying
from lab_server.clock import SystemClock
from lab_server.destroying import Destroying
from lab_server.disclosing import Disclosing
from lab_server.drawing import Drawing
from lab_server.engagements import Engagements
from lab_server.escrowing import Escrowing
from lab_server.exchanging import Exchanging
from lab_server.home import Home, spki_pin
from lab_server.interceptors.errors import TranslateErrors
from lab_server.interceptors.identity import IdentifyCaller
from lab_server.interceptors.limits import LimitCalls
from lab_server.interceptors.logs import LogCalls
from lab_server.negotiating import Negotiating
from lab_server.offering import terms_for
from lab_server.opening import Opening
from lab_server.ports import Clock, ServedVariant
from lab_server.services.access import AccessServicer
from lab_server.services.disclosure import DisclosureServicer
from lab_server.services.evidence import EvidenceServicer
from lab_server.services.negotiation import NegotiationServicer
from lab_server.services.transcript import TranscriptServicer
from lab_server.services.worker import MAX_MESSAGE_BYTES
from lab_server.services.worker_client import WorkerClient
from lab_server.settings import AuditorSettings, Settings
from lab_server.stating import Stating
from lab_server.steps import Steps
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
DRAIN_SECONDS = 20.0
PURGE_SECONDS = 300.0
MEND_SECONDS = 1.0
WISH_SECONDS = 0.3
DESTROY_SECONDS = 0.5
_LAST_PORT = 65_535
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
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


@dataclass(frozen=True)
class Running:
    """A gateway that serves."""

    address: str
    aborted: int


def log_to(path: Path) -> None:
    """Send structlog's JSON lines to a file; a full disk costs lines and nothing else."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", Lines(path))),
    )


@asynccontextmanager
async def lab(home: Home, settings: Settings) -> AsyncIterator[Running]:
    """Serve until the context ends; leaves nothing half done.

    Raises:
        PortInUse, FileUnusable, ConfigurationInvalid, StoreFailed and what the worker says when it cannot start.
    """
    async with AsyncExitStack() as stack:
        clock, keys, identity, tls = SystemClock(), home.read_keys(), home.read_identity(), home.read_tls()
        _check_address(settings.listen.address)
        auditors = [(grant, parse_identity(home.read(home.relative(grant.identity)))) for grant in settings.auditor]
        stack.enter_context(home.alone())
        store = SqliteStore(home.store)
        stack.push_async_callback(store.close)
        worker = SupervisedWorker(home, WorkerClient)
        stack.push_async_callback(worker.close)
        served = await worker.start()
        terms = [_admitted(home, settings, grant, identity, auditor, served, clock) for grant, auditor in auditors]
        for auditor in terms:
            # What cannot be offered is said now, not to the first auditor who asks; commands beside us read it.
            offered = sign_document(await auditor.terms(), keys.agreement)
            await store.save_terms(auditor.identity.id, offered.to_bytes())

        steps = Steps()
        engagements = Engagements(keys=keys, store=store, clock=clock)
        exchanging = Exchanging(keys=keys, store=store, worker=worker, clock=clock, steps=steps)
        aborted = await _restored(engagements, exchanging)
        negotiating = Negotiating(
            admitted=terms, engagements=engagements, keys=keys, store=store, clock=clock, steps=steps
        )
        opening = Opening(keys=keys, worker=worker, steps=steps)
        drawing = Drawing(store=store, randomness=os.urandom)
        transcribing = Transcribing(keys=keys, store=store, steps=steps, drawing=drawing, forget=worker.forget)
        disclosing = Disclosing(keys=keys, store=store, steps=steps)
        escrowing = Escrowing(steps=steps)
        stating = Stating(engagements=engagements, disclosing=disclosing, escrowing=escrowing)
        server = grpc.aio.server(
            interceptors=(TranslateErrors(), LogCalls(), IdentifyCaller(), LimitCalls()), options=_OPTIONS
        )
        negotiation_service_pb2_grpc.add_NegotiationServiceServicer_to_server(NegotiationServicer(negotiating), server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessServicer(engagements=engagements, opening=opening, exchanging=exchanging), server
        )
        transcript_service_pb2_grpc.add_TranscriptServiceServicer_to_server(
            TranscriptServicer(engagements=engagements, transcribing=transcribing), server
        )
        disclosure_service_pb2_grpc.add_DisclosureServiceServicer_to_server(
            DisclosureServicer(engagements=engagements, disclosing=disclosing, escrowing=escrowing), server
        )
        evidence_service_pb2_grpc.add_EvidenceServiceServicer_to_server(EvidenceServicer(engagements), server)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        reflection.enable_server_reflection([*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
        port = _listen(settings.listen.address, server, (tls, identity), [auditor for _, auditor in auditors])
        await server.start()
        for name in ("", *_SERVICES):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        chores = [
            asyncio.create_task(_purge(store, clock)),
            asyncio.create_task(_mend(engagements, exchanging)),
            asyncio.create_task(_carry_out(Carrying(store=store, negotiating=negotiating, stating=stating))),
            asyncio.create_task(_destroy(engagements, Destroying(keys=keys, worker=worker))),
        ]
        try:
            yield Running(f"{settings.listen.address.rpartition(':')[0]}:{port}", aborted)
        finally:
            for chore in chores:
                chore.cancel()
            await healthy.enter_graceful_shutdown()
            await server.stop(GRACE_SECONDS)
            await _drained(steps)


def _admitted(
    home: Home,
    settings: Settings,
    grant: AuditorSettings,
    identity: Identity,
    auditor: Identity,
    served: tuple[ServedVariant, ...],
    clock: Clock,
) -> Admitted:
    async def terms() -> Terms:
        return terms_for(home, settings, grant, identity, auditor, served, clock.now())

    return Admitted(auditor, spki_pin(auditor.tls or ""), terms, grant.review, grant.offer_hours)


async def _restored(engagements: Engagements, exchanging: Exchanging) -> int:
    await engagements.restore()
    aborted = 0
    for engagement in engagements.all:
        broken = engagement.log.broken
        if broken is None:
            aborted += await exchanging.abort_open(engagement, "GATEWAY_RESTARTED")
        else:
            log.error("engagement_refused", agreement=engagement.digest, reason=broken.reason, why=broken.message)
    return aborted


async def _drained(steps: Steps) -> None:
    # Answers under way may still end; what does not is recorded as aborted at the next start.
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await steps.drain()
    except TimeoutError:
        log.warning("stopped_with_open_exchanges")
        steps.cancel()


def _listen(address: str, server: grpc.aio.Server, ours: tuple[bytes, Identity], auditors: list[Identity]) -> int:
    roots = "".join(auditor.tls or "" for auditor in auditors).encode()
    if not roots:
        raise ConfigurationInvalid(
            "no auditor is admitted: run `safeconduct lab admit IDENTITY.json` first", field="auditor"
        )
    credentials = grpc.ssl_server_credentials(
        [(ours[0], (ours[1].tls or "").encode())],
        root_certificates=roots,
        require_client_auth=True,
    )
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise PortInUse(
            f"cannot listen at {address}: another program does, or it is not ours to use", address=address
        ) from None


def _check_address(address: str) -> None:
    # gRPC says only "failed to bind"; try first, so that the sentence can say why.
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > _LAST_PORT:
        raise ConfigurationInvalid("listen.address is written as 127.0.0.1:7443", field="listen.address")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise PortInUse(f"cannot listen at {address}: {error.strerror}", address=address) from None
        except (TypeError, ValueError):  # a name that cannot be one
            raise ConfigurationInvalid("listen.address names no host", field="listen.address") from None


async def _purge(store: SqliteStore, clock: SystemClock) -> None:
    while True:
        try:
            await store.purge_frames(now=format_time(clock.now()))
        except StoreFailed as error:
            log.warning("frames_not_purged", why=error.message)
        await asyncio.sleep(PURGE_SECONDS)


async def _carry_out(carrying: Carrying) -> None:
    # What people decided or stated by the lab's commands beside us.
    while True:
        await asyncio.sleep(WISH_SECONDS)
        try:
            for name in await carrying.carry_out():
                log.info("decision_carried_out", about=sha256(name.encode()))
        except StoreFailed as error:
            log.warning("decision_not_carried_out", why=error.message)


async def _destroy(engagements: Engagements, destroying: Destroying) -> None:
    # What fine-tuning made ends with its run; a worker or a store that is away only delays it.
    while True:
        await asyncio.sleep(DESTROY_SECONDS)
        for engagement in engagements.all:
            try:
                for variant in await destroying.destroy(engagement):
                    log.info("variant_destroyed", agreement=engagement.digest, variant=variant)
            except SafeconductError as error:
                log.warning("variants_not_destroyed", agreement=engagement.digest, reason=error.reason)


async def _mend(engagements: Engagements, exchanging: Exchanging) -> None:
    # A full disk may have room again: engagements whose store failed are read again from what is durable.
    while True:
        await asyncio.sleep(MEND_SECONDS)
        for engagement in engagements.all:
            if not isinstance(engagement.log.broken, StoreFailed):
                continue
            try:
                again = await engagements.reload(engagement)
                await exchanging.abort_open(again, "STORE_FAILED")
                log.info("engagement_mended", agreement=again.digest)
            except SafeconductError as error:
                log.warning("engagement_not_mended", agreement=engagement.digest, why=error.message)
