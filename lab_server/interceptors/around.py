"""An interceptor as a context manager around a call, whichever of gRPC's four shapes the call has.

House rule that makes it work: handlers are coroutines or async generators and never use
`context.read` or `context.write`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import grpc
import grpc.aio

OPEN_TO_ALL = ("/grpc.health.", "/grpc.reflection.")
"""Services about the server itself, which any admitted certificate may ask; not ours, and not under the rule above."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AroundCall(grpc.aio.ServerInterceptor):
    """Runs `around(method, context)` around every call."""

    def around(self, method: str, context: Context) -> AbstractAsyncContextManager[None]:
        """Return the context manager of one call."""
        raise NotImplementedError

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler gRPC found, if it found one and it is of a service of ours."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.startswith(OPEN_TO_ALL):
            return handler
        if handler.response_streaming:
            streaming = handler.stream_stream or handler.unary_stream

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                async with self.around(method, context):
                    async for item in streaming(request, context):
                        yield item

            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, handler.request_deserializer, handler.response_serializer)
        unary = handler.stream_unary or handler.unary_unary

        async def single(request: Any, context: Context) -> Any:
            async with self.around(method, context):
                return await unary(request, context)

        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(single, handler.request_deserializer, handler.response_serializer)
