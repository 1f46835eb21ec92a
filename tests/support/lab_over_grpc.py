"""Serves any `Lab` over gRPC with mutual TLS on loopback, so that the client's transport meets a real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from attestations.envelope import Envelope, parse_envelope
from attestations.errors import SafeconductError
from auditor_client.ports import Lab, Promised, Recorded, Refused, SealedFrame
from safeconduct.v1 import (
    access_service_pb2 as access,
    access_service_pb2_grpc,
    disclosure_service_pb2 as disclosure,
    disclosure_service_pb2_grpc,
    envelope_pb2,
    negotiation_service_pb2 as negotiation,
    negotiation_service_pb2_grpc,
    transcript_service_pb2 as transcript,
    transcript_service_pb2_grpc,
)


def _wire(envelope: Envelope) -> envelope_pb2.SignedEnvelope:
    return envelope_pb2.SignedEnvelope(dsse=envelope.to_bytes())


async def _abort(context: Any, error: SafeconductError) -> None:
    info = AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain="safeconduct", metadata=error.facts))
    status = status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message=error.message, details=[info])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.message)


class _Negotiation(negotiation_service_pb2_grpc.NegotiationServiceServicer):
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def GetTerms(self, request: Any, context: Any) -> Any:  # noqa: N802
        return negotiation.GetTermsResponse(terms=_wire(await self._lab.terms()))

    async def Offer(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = await self._lab.offer(_read(request.offer))
        assert answer is not None
        return negotiation.OfferResponse(accept=_wire(answer.accept), agreement=_wire(answer.agreement))

    async def Conclude(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._lab.conclude(_read(request.agreement))
        return negotiation.ConcludeResponse()

    async def Accept(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def Withdraw(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def Reject(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def Terminate(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def GetNegotiation(self, request: Any, context: Any) -> Any:  # noqa: N802
        return negotiation.GetNegotiationResponse()


class _Access(access_service_pb2_grpc.AccessServiceServicer):
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def OpenSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        opened = await self._lab.open_session(_read(request.open))
        return access.OpenSessionResponse(grant=_wire(opened.grant), runtime=_wire(opened.runtime))

    async def GetRuntime(self, request: Any, context: Any) -> Any:  # noqa: N802
        return access.GetRuntimeResponse(runtime=_wire(await self._lab.runtime(request.agreement)))

    async def Resume(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = await self._lab.resume(
            agreement=request.agreement, session=request.session, checkpoint=request.checkpoint
        )
        return access.ResumeResponse(
            checkpoint=answer.checkpoint, consistency=answer.consistency, next_seq=answer.next_seq
        )

    async def Redeliver(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        frames = self._lab.redeliver(agreement=request.agreement, session=request.session, seq=request.seq)
        async for frame in frames:
            yield access.RedeliverResponse(frame=_frame(frame))

    async def Exchange(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        try:
            async with self._lab.exchange() as stream:
                async for request in requests:
                    if request.WhichOneof("message") == "intent":
                        await stream.intend(parse_envelope(request.intent.dsse))
                        answer = await stream.receive()
                        yield _answer(answer)
                        continue
                    await stream.reveal(request.reveal.sealed, request.reveal.seed_share)
                    while True:
                        answer = await stream.receive()
                        yield _answer(answer)
                        if isinstance(answer, Recorded):
                            break
        except SafeconductError as error:
            await _abort(context, error)


class _Transcript(transcript_service_pb2_grpc.TranscriptServiceServicer):
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def Register(self, request: Any, context: Any) -> Any:  # noqa: N802
        return transcript.RegisterResponse(receipt=_wire(await self._lab.register(_read(request.registration))))

    async def Draw(self, request: Any, context: Any) -> Any:  # noqa: N802
        return transcript.DrawResponse(receipt=_wire(await self._lab.draw(_read(request.draw))))

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802
        return transcript.GetCheckpointResponse(checkpoint=await self._lab.checkpoint(request.agreement))

    async def ListLeaves(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for leaf in self._lab.leaves(agreement=request.agreement, start=request.start):
            yield transcript.ListLeavesResponse(leaves=[leaf])

    async def Cosign(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._lab.cosign(agreement=request.agreement, checkpoint=request.checkpoint)
        return transcript.CosignResponse()

    async def Close(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            return transcript.CloseResponse(close=_wire(await self._lab.close(request.agreement)))
        except SafeconductError as error:
            await _abort(context, error)

    async def ConfirmClose(self, request: Any, context: Any) -> Any:  # noqa: N802
        return transcript.ConfirmCloseResponse(receipt=_wire(await self._lab.confirm_close(_read(request.close))))

    async def CommitGrades(self, request: Any, context: Any) -> Any:  # noqa: N802
        return transcript.CommitGradesResponse(receipt=_wire(await self._lab.commit_grades(_read(request.grades))))

    async def GetProof(self, request: Any, context: Any) -> Any:  # noqa: N802
        proof = await self._lab.proof(
            agreement=request.agreement, leaf=request.leaf_index, size=request.tree_size, old_size=request.old_size
        )
        return transcript.GetProofResponse(inclusion=proof.inclusion, consistency=proof.consistency)


class _Disclosure(disclosure_service_pb2_grpc.DisclosureServiceServicer):
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def Deliver(self, requests: Any, context: Any) -> Any:  # noqa: N802
        first = await anext(aiter(requests))

        async def blocks() -> AsyncIterator[bytes]:
            async for part in requests:
                yield part.chunk

        receipt = await self._lab.deliver(parse_envelope(first.manifest.dsse), blocks())
        return disclosure.DeliverResponse(delivery=_wire(receipt))

    async def State(self, request: Any, context: Any) -> Any:  # noqa: N802
        return disclosure.StateResponse(receipt=_wire(await self._lab.state(_read(request.event))))

    async def Notify(self, request: Any, context: Any) -> Any:  # noqa: N802
        receipt = await self._lab.notify(_read(request.notice), request.content)
        return disclosure.NotifyResponse(receipt=_wire(receipt))

    async def Escrow(self, request: Any, context: Any) -> Any:  # noqa: N802
        return disclosure.EscrowResponse(receipt=_wire(await self._lab.escrow(_read(request.document))))

    async def Release(self, request: Any, context: Any) -> Any:  # noqa: N802
        return disclosure.ReleaseResponse(receipt=_wire(await self._lab.release(_read(request.release))))

    async def Acknowledge(self, request: Any, context: Any) -> Any:  # noqa: N802
        envelope = await self._lab.acknowledge(agreement=request.agreement, attestation=request.attestation)
        return disclosure.AcknowledgeResponse(acknowledgement=_wire(envelope))


def _read(message: envelope_pb2.SignedEnvelope) -> Envelope:
    return parse_envelope(message.dsse)


def _frame(frame: SealedFrame) -> access.Frame:
    return access.Frame(number=frame.number, ciphertext=frame.ciphertext, final=frame.final)


def _answer(answer: Any) -> access.ExchangeResponse:
    match answer:
        case Promised(envelope):
            return access.ExchangeResponse(promise=_wire(envelope))
        case Recorded(envelope):
            return access.ExchangeResponse(record=_wire(envelope))
        case Refused(envelope):
            return access.ExchangeResponse(refusal=_wire(envelope))
        case frame:
            return access.ExchangeResponse(frame=_frame(frame))


@asynccontextmanager
async def served(lab: Lab, *, key: bytes, certificate: bytes, clients: bytes) -> AsyncIterator[str]:
    """Serve `lab`; yields the address."""
    server = grpc.aio.server()
    negotiation_service_pb2_grpc.add_NegotiationServiceServicer_to_server(_Negotiation(lab), server)
    access_service_pb2_grpc.add_AccessServiceServicer_to_server(_Access(lab), server)
    transcript_service_pb2_grpc.add_TranscriptServiceServicer_to_server(_Transcript(lab), server)
    disclosure_service_pb2_grpc.add_DisclosureServiceServicer_to_server(_Disclosure(lab), server)
    tls = grpc.ssl_server_credentials([(key, certificate)], root_certificates=clients, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", tls)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
