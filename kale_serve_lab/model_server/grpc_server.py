"""The built-in server's gRPC: the Open Inference Protocol's service on a Unix socket, where the interpreter has grpcio.

The messages are read and written by `inference.grpc`; grpcio only carries bytes, so no generated module is needed and none
can collide. The listening socket that the daemon bound belongs to the process's relay, because grpcio cannot take one over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kale_serve_lab.errors import EndpointNotFound, InvalidInput, KaleServeError, PredictFailed
from kale_serve_lab.inference import statuses, v2
from kale_serve_lab.inference.grpc import v2 as messages
from kale_serve_lab.model_server.component import TensorComponent
from kale_serve_lab.model_server.spec import LaunchSpec

# Reading a message of this size may take longer than a health check should wait.
_LARGE_BYTES: Final = 1 << 20

log = logging.getLogger("kale_serve_lab.model_server")

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


async def start(component: TensorComponent, spec: LaunchSpec, address: str) -> GrpcServer:
    """Listen at `address` (`unix:/path`, `0.0.0.0:8081`), in the running event loop; to be called once the component is loaded."""
    import grpc
    import grpc.aio

    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", min(spec.max_body_bytes, 2**31 - 1)),
            ("grpc.max_send_message_length", -1),
        ]
    )
    found = GrpcServer(server, component, spec)
    server.add_generic_rpc_handlers((_handler(grpc, found.methods()),))
    server.add_insecure_port(address)
    await server.start()
    return found


class GrpcServer:
    """Answers calls for one model name and revision."""

    def __init__(self, server: Any, component: TensorComponent, spec: LaunchSpec) -> None:
        self._server = server
        self._component = component
        self._name = spec.model_name
        self._version = str(spec.revision)

    def methods(self) -> dict[str, Behaviour]:
        """What answers each method, by its path."""
        return {
            messages.method(name): self._guarded(answer)
            for name, answer in {
                "ServerLive": self._yes,
                "ServerReady": self._yes,
                "ServerMetadata": self._server_metadata,
                "ModelReady": self._model_ready,
                "ModelMetadata": self._model_metadata,
                "ModelInfer": self._infer,
            }.items()
        }

    async def stop(self, seconds: float) -> None:
        """Take no new call; those that are open get so long."""
        await self._server.stop(seconds)

    def _guarded(self, answer: Behaviour) -> Behaviour:
        async def call(message: bytes, context: Any) -> bytes:
            context.set_trailing_metadata(((statuses.REVISION_KEY, self._version),))
            try:
                return await answer(message, context)
            except KaleServeError as error:
                error.subject = error.subject or self._name
                await self._refuse(error, context)
            except Exception as error:
                log.exception("The request could not be answered.")
                await self._refuse(
                    PredictFailed(
                        f"The request could not be answered: {type(error).__name__}: {error}",
                        subject=self._name,
                    ),
                    context,
                )
            raise AssertionError

        return call

    async def _refuse(self, error: KaleServeError, context: Any) -> None:
        import grpc

        trailing: list[tuple[str, str | bytes]] = [(statuses.REVISION_KEY, self._version)]
        whole = json.dumps(error.to_json()).encode()
        if len(whole) <= statuses.MAX_ERROR:
            trailing.append((statuses.ERROR_KEY, whole))
        await context.abort(
            grpc.StatusCode[statuses.grpc_status(error)],
            statuses.bounded(str(error).replace("\n", " "), statuses.MAX_ERROR // 2),
            tuple(trailing),
        )

    async def _yes(self, _: bytes, __: Any) -> bytes:
        return messages.encode_flag(True)

    async def _server_metadata(self, _: bytes, __: Any) -> bytes:
        return messages.encode_server("kale-serve", self._version, ["binary_tensor_data"])

    async def _model_ready(self, message: bytes, _: Any) -> bytes:
        self._check(messages.decode_model(message))
        return messages.encode_flag(True)

    async def _model_metadata(self, message: bytes, _: Any) -> bytes:
        self._check(messages.decode_model(message))
        component = self._component
        return messages.encode_metadata(
            messages.Model(self._name, self._version),
            component.platform,
            component.inputs(),
            component.outputs(),
        )

    async def _infer(self, message: bytes, context: Any) -> bytes:
        large = len(message) > _LARGE_BYTES
        if large:
            model, asked = await asyncio.to_thread(messages.decode_request, message)
        else:
            model, asked = messages.decode_request(message)
        self._check(model)
        answered: asyncio.Future[v2.InferResponse | KaleServeError] = (
            asyncio.get_running_loop().create_future()
        )

        def respond(answer: v2.InferResponse | KaleServeError) -> None:
            # A caller who has gone has cancelled it.
            if not answered.done():
                answered.set_result(answer)

        headers = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str) and not key.startswith("grpc-")
        }
        self._component.infer_tensors(asked, headers, respond)
        answer = await answered
        if isinstance(answer, KaleServeError):
            raise answer
        if large:
            return await asyncio.to_thread(messages.encode_response, answer)
        return messages.encode_response(answer)

    def _check(self, model: messages.Model) -> None:
        if not model.name:
            raise InvalidInput("The request names no model.", hint=f"It serves {self._name!r}.")
        if model.name != self._name:
            raise EndpointNotFound(
                f"There is no model {model.name[:100]!r} at this endpoint.",
                subject=self._name,
                hint=f"It serves {self._name!r}.",
            )
        if model.version not in ("", self._version):
            raise EndpointNotFound(
                f"{self._name} has no version {model.version[:100]!r}.",
                subject=self._name,
                hint=f"It serves {self._version!r}.",
            )


def _handler(grpc: Any, methods: dict[str, Behaviour]) -> Any:
    made = {path: grpc.unary_unary_rpc_method_handler(answer) for path, answer in methods.items()}

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, handler_call_details: Any) -> Any:
            return made.get(handler_call_details.method)

    return Handler()
