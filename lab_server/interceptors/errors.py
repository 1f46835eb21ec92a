"""Turns our errors into statuses with typed reasons; the only caller of `abort`.

What is not one of our errors is logged by its type and told as INTERNAL: its message could hold anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from attestations.errors import (
    BudgetExhausted,
    EngagementUnknown,
    EvidenceError,
    EvidenceMissing,
    PeerError,
    PhaseViolation,
    RateLimited,
    RefusedError,
    SafeconductError,
    SessionUnknown,
    SizeLimitExceeded,
)
from lab_server.interceptors.around import AroundCall, Context

DOMAIN = "safeconduct"
log = structlog.get_logger()

# More particular kinds first: the first that fits decides.
STATUSES: tuple[tuple[type[SafeconductError], int], ...] = (
    (EngagementUnknown, code_pb2.NOT_FOUND),
    (SessionUnknown, code_pb2.NOT_FOUND),
    (EvidenceMissing, code_pb2.NOT_FOUND),
    (PhaseViolation, code_pb2.FAILED_PRECONDITION),
    (BudgetExhausted, code_pb2.RESOURCE_EXHAUSTED),
    (RateLimited, code_pb2.RESOURCE_EXHAUSTED),
    (SizeLimitExceeded, code_pb2.INVALID_ARGUMENT),
    (RefusedError, code_pb2.PERMISSION_DENIED),
    (PeerError, code_pb2.INVALID_ARGUMENT),
    (EvidenceError, code_pb2.INVALID_ARGUMENT),
    (SafeconductError, code_pb2.UNAVAILABLE),
)
FAULTS: tuple[tuple[type[SafeconductError], str], ...] = (
    (PeerError, "PEER"),
    (EvidenceError, "EVIDENCE"),
    (RefusedError, "REFUSED"),
    (SafeconductError, "SETUP"),
)


class TranslateErrors(AroundCall):
    """Tells the caller whose fault it is, which rule, and nothing else."""

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Translate whatever the call raises."""
        try:
            yield
        except SafeconductError as error:
            await context.abort_with_status(rpc_status.to_status(to_status(error)))
        except (grpc.aio.AbortError, GeneratorExit):
            raise
        except Exception as error:  # noqa: BLE001 - nothing else may reach the caller
            # Not log.exception: a traceback and a message could hold anything.
            log.error("call_failed", method=method, error=type(error).__name__, at=_place(error))  # noqa: TRY400
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")


def to_status(error: SafeconductError) -> status_pb2.Status:
    """Return the status of one of our errors, with its reason and facts as `ErrorInfo`."""
    fault = next(name for kind, name in FAULTS if isinstance(error, kind))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata={**error.facts, "fault": fault})
    detail = any_pb2.Any()
    detail.Pack(info)
    code = next(code for kind, code in STATUSES if isinstance(error, kind))
    return status_pb2.Status(code=code, message=error.message, details=[detail])


def _place(error: BaseException) -> str:
    # The innermost line of code, without the values that were there.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
