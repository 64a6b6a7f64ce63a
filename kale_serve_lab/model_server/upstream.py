"""The transformer's way to its predictor: by the predictor's Unix sockets, HTTP or gRPC, whichever server is behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kale_serve_lab.errors import EndpointNotReady, InvalidInput, KaleServeError, UpstreamFailed
from kale_serve_lab.inference import statuses, strict_json, v1, v2
from kale_serve_lab.inference.grpc import v2 as messages
from kale_serve_lab.inference.tensors import Tensor
from kale_serve_lab.model_server.foreign.forward import Answer, Forwarder
from kale_serve_lab.model_server.spec import LaunchSpec

_OK: Final = 200


class Upstream:
    """Asks the predictor of one transformer; to be used in one event loop."""

    def __init__(self, spec: LaunchSpec) -> None:
        self._service = spec.service
        self._model = spec.model_name
        self._http = _forwarder(spec)
        self._binary: bool | None = None
        self._grpc = None
        if spec.protocol == "grpc-v2" and spec.predictor is not None:
            address = spec.predictor
            self._grpc = _Grpc(spec, f"{address.host}:{address.port}", tls=address.tls)
        elif spec.protocol == "grpc-v2" and spec.predictor_grpc_socket is not None:
            self._grpc = _Grpc(spec, f"unix:{spec.predictor_grpc_socket}")

    async def ask(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A whole request of v1 or v2 as an object, and the answer likewise.

        Raises what the predictor refused it with, `EndpointNotReady` where nobody listens, `EndpointGone` where the connection
        ends early, and `UpstreamFailed` for an answer that is none.
        """
        second = "outputs" if is_v2(payload) else "predictions"
        body = strict_json.dumps(v1.plain(payload), "What preprocess gave")
        if self._grpc is not None and is_v2(payload):
            asked = v2.decode_request(body, None)
            names = [output.name for output in asked.outputs or ()] or None
            found = await self._grpc.infer(asked.inputs, names, asked.id)
            body, _, _ = v2.encode_response(
                found.model_name, found.outputs, found.id, model_version=found.model_version
            )
        else:
            target = (
                f"/v2/models/{self._model}/infer" if is_v2(payload) else f"/v1/models/{self._model}:predict"
            )
            body = (await self._post(target, (body,), {"Content-Type": v1.CONTENT_TYPE})).body
        found_json = self._read(lambda: strict_json.loads(body, "The predictor's answer"))
        if not isinstance(found_json, dict) or second not in found_json:
            raise UpstreamFailed(
                f"{self._service}: the predictor's answer has no {second}.", subject=self._service
            )
        return found_json

    async def ask_tensors(
        self, given: Sequence[Tensor], names: Sequence[str] | None, request_id: str | None
    ) -> v2.InferResponse:
        """A v2 request, in the leanest form that the predictor takes. Raises as `ask`."""
        if self._grpc is not None:
            return await self._grpc.infer(given, names, request_id)
        if self._binary is None:
            self._binary = await self._takes_binary()
        header, buffers, length = v2.encode_request(given, names, request_id, binary=self._binary)
        headers = (
            {"Content-Type": v2.JSON_TYPE}
            if length is None
            else {"Content-Type": v2.BINARY_TYPE, v2.LENGTH_HEADER: str(length)}
        )
        answer = await self._post(f"/v2/models/{self._model}/infer", (header, *buffers), headers)
        said = answer.headers.get(v2.LENGTH_HEADER.lower())
        found: v2.InferResponse = self._read(
            lambda: v2.decode_response(bytearray(answer.body), v2.header_length(said))
        )
        return found

    async def _takes_binary(self) -> bool:
        answer = await self._http.send("GET", "/v2")
        try:
            told = strict_json.loads(answer.body)
        except InvalidInput:
            return False
        listed = told.get("extensions") if isinstance(told, dict) else None
        return isinstance(listed, list) and "binary_tensor_data" in listed

    async def _post(self, target: str, buffers: Sequence[Any], headers: Mapping[str, str]) -> Answer:
        answer = await self._http.send("POST", target, buffers, headers)
        if answer.status != _OK:
            raise statuses.of_http(answer.status, answer.body, self._service)
        return answer

    def _read(self, read: Any) -> Any:
        try:
            return read()
        except InvalidInput as error:
            raise UpstreamFailed(
                f"{self._service}: the predictor's answer cannot be read. {error.message}",
                subject=self._service,
            ) from error


def _forwarder(spec: LaunchSpec) -> Forwarder:
    about: dict[str, Any] = {
        "service": spec.service,
        "server": "the predictor",
        "max_body_bytes": spec.max_body_bytes,
    }
    if spec.predictor is None:
        assert spec.predictor_socket is not None
        return Forwarder(Path(spec.predictor_socket), **about)
    address = spec.predictor
    tls = None
    if address.tls:
        import ssl

        tls = ssl.create_default_context()
    return Forwarder(
        (address.host, address.port), host=address.named, tls=tls, seconds=address.seconds, **about
    )


class _Grpc:
    """The Open Inference Protocol over gRPC, from one event loop."""

    def __init__(self, spec: LaunchSpec, target: str, *, tls: bool = False) -> None:
        import grpc
        import grpc.aio

        self._service = spec.service
        self._model = messages.Model(spec.model_name)
        options: list[tuple[str, int]] = [
            ("grpc.max_receive_message_length", min(spec.max_body_bytes, 2**31 - 1)),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            # The predictor may be starting again: it is tried anew at once.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
            if tls
            else grpc.aio.insecure_channel(target, options=options)
        )
        self._infer = self._channel.unary_unary(messages.method("ModelInfer"))

    async def infer(
        self, given: Sequence[Tensor], names: Sequence[str] | None, request_id: str | None
    ) -> v2.InferResponse:
        import grpc

        request = messages.encode_request(
            self._model, given, names, request_id, parameters=v2.about_columns(given)
        )
        try:
            return messages.decode_response(await self._infer(request))
        except grpc.RpcError as error:
            raise self._meaning(error) from error
        except InvalidInput as error:
            raise UpstreamFailed(
                f"{self._service}: the predictor's answer cannot be read. {error.message}",
                subject=self._service,
            ) from error

    def _meaning(self, error: Any) -> KaleServeError:
        status, said = error.code().name, str(error.details() or "")
        if statuses.never_sent(status, said):
            return EndpointNotReady(
                f"{self._service}: the transformer cannot reach its predictor "
                f"({statuses.bounded(said.rpartition(': ')[2])}).",
                subject=self._service,
                hint="It may be starting again; try in a moment.",
            )
        return statuses.of_grpc(status, said, dict(error.trailing_metadata() or ()), self._service)


def is_v2(payload: Mapping[str, Any]) -> bool:
    """Whether an object is a v2 request: its inputs have data types."""
    given = payload.get("inputs")
    return (
        isinstance(given, list) and bool(given) and isinstance(given[0], Mapping) and "datatype" in given[0]
    )
