"""`Endpoint`: predictions from a service, by its name."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal
from urllib.parse import quote

from kale_serve_lab import errors
from kale_serve_lab.endpoint import answers, inputs, refusals
from kale_serve_lab.endpoint.http1 import Response
from kale_serve_lab.endpoint.services import (
    GRPC,
    PROTOCOLS,
    DaemonSource,
    GrpcSource,
    Line,
    Service,
    Source,
    UrlSource,
    get,
)
from kale_serve_lab.endpoint.transport import CannotConnect, Transport
from kale_serve_lab.inference import strict_json, v1, v2
from kale_serve_lab.inference.signature import Signature
from kale_serve_lab.inference.tensors import Tensor

TIMEOUT_SECONDS: Final = 60.0


class Endpoint:
    """A service to ask for predictions; safe to share between threads.

    `name` is the service's (`isvc.name`). A service that this machine's daemon knows is found by its name, on this machine or on
    its cluster (`target="local"` or `"kserve"` where both have one); `url` reaches one
    elsewhere (`http`, `https`, `grpc` or `grpcs`), with `token` as bearer token (`"file:path"` is read again for each request).
    `kubernetes_host` is the address of an API server, by which a service is reached without any daemon, whoever made it; `token`
    is then a token for that API server (None: the pod's own). With `url` too, `url` is the cluster's gateway, and gets a
    short-lived token that the API server makes for it.
    `protocol_version` is "v1", "v2", "grpc-v1" (TensorFlow Serving's) or "grpc-v2"; without it, what the service offers decides.

        endpoint = Endpoint("iris")
        endpoint.predict(X_test)                             # in kind: an array for an array, a frame for a frame
        endpoint.predict(X_test, outputs=["predict_proba"])

    Raises `EndpointNotFound` where the daemon knows no such service, and `InvalidRequest` where it does not speak the protocol or
    gRPC needs a package that is not installed.
    """

    def __init__(
        self,
        name: str,
        namespace: str | None = None,
        token: str | None = None,
        kubernetes_host: str | None = None,
        url: str | None = None,
        *,
        protocol_version: str | None = None,
        target: str | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            shown = repr(name)[:80]
            raise errors.InvalidName(
                f"An endpoint's name is a text, not {shown}.", subject=shown, hint="Pass isvc.name."
            )
        if target is not None and (url is not None or kubernetes_host is not None):
            raise errors.InvalidRequest(
                "target says where the daemon looks; url and kubernetes_host do without the daemon.",
                subject=name,
                hint="Give one of them.",
            )
        if protocol_version is not None and protocol_version not in PROTOCOLS:
            raise errors.InvalidRequest(
                f"There is no protocol {str(protocol_version)[:40]!r}.",
                subject=name,
                hint=f"Known are {', '.join(PROTOCOLS)}.",
            )
        self.name = name
        self._source: Source = _source(
            name,
            namespace,
            token=token,
            kubernetes_host=kubernetes_host,
            url=url,
            protocol=protocol_version,
            target=target,
        )
        self._lock = threading.Lock()
        self._found: tuple[Service, Line] | None = None
        self._heads: dict[str, str] = {}
        self._namespace = namespace
        if url is None:
            self._service()

    def __repr__(self) -> str:
        target = "" if self.target in (None, "local") else f", target={self.target!r}"
        return f"Endpoint({self.name!r}, namespace={self.namespace!r}{target})"

    @property
    def namespace(self) -> str:
        """Where the service was found."""
        return str(getattr(self._source, "namespace", None) or self._namespace or "default")

    @property
    def target(self) -> str | None:
        """`local` or `kserve`: which of the daemon's targets has it. None where the daemon was not asked."""
        return getattr(self._source, "target", None)

    @property
    def signature(self) -> Signature | None:
        """What it takes and gives; None where nobody recorded it."""
        return self._service()[0].signature

    def predict(
        self, x: Any, outputs: Sequence[str] | None = None, *, timeout: float = TIMEOUT_SECONDS
    ) -> Any:
        """Predictions for rows, in kind.

        `x`: a JSON text or a v1 or v2 request as a dict (answered with the server's whole answer as a dict); a list of rows
        (a list); a numpy array of shape (rows, columns) or the model's tensor shape (an array); a DataFrame (a DataFrame with
        its index) or Series. Columns of a DataFrame are found by name. `outputs` chooses among what the model has:
        `["predict_proba"]`; several are answered as a dict by name (a frame: as columns). `timeout` is in seconds, for the whole call.

        Arrays travel in binary where the service speaks v2: every bit arrives, NaN and infinity too. JSON (v1) keeps float64
        exact, writes NaN as null, and refuses infinity.

        Raises `InvalidInput` (before sending where there is a signature), `PredictFailed` (the model raised), `EndpointNotReady`,
        `EndpointNotFound`, `EndpointGone` (the server ended while it worked on this), `Timeout`, `UpstreamFailed`,
        `Unauthorized`, `Forbidden`.
        """
        if isinstance(outputs, str):
            outputs = [outputs]
        service, _ = self._service()
        try:
            given = inputs.understand(x, service.signature, verbatim_dicts=service.transformed)
        except errors.InvalidInput as error:
            # The service may have a new revision, which takes something else.
            renewed = service
            if service.address is not None:
                with contextlib.suppress(errors.DaemonUnavailable):
                    renewed, _ = self._service(renew=True)
            if renewed.signature == service.signature:
                error.subject = error.subject or self.name
                raise
            service = renewed
            given = inputs.understand(x, service.signature, verbatim_dicts=service.transformed)
        if service.protocol in GRPC:
            return self._predict_over_grpc(given, outputs, timeout)
        if given.payload is not None:
            return self._predict_payload(given.payload, outputs, timeout)
        if service.protocol == "v1":
            response = self._infer("v1", v1.encode_request(inputs.to_rows(given), outputs), (), None, timeout)
            if service.transformed:
                found = self._decoded(strict_json.loads, response.body)
                if not isinstance(found, dict) or "predictions" not in found:
                    # A postprocess may answer what it likes.
                    return found
            return answers.of_v1(
                self._decoded(v1.decode_response, response.body), given, service.signature, outputs
            )
        sent = inputs.to_tensors(given, service.signature)
        binary = service.binary and (len(sent) == 1 or service.binary_columns)
        header, buffers, length = v2.encode_request(sent, outputs, binary=binary)
        response = self._infer("v2", header, buffers, length, timeout)
        return answers.of_v2(self._decoded_v2(response), given, service.signature, outputs)

    def explain(self, x: Any, *, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
        """What the service's explainer says of rows, as it says it; `x` as for `predict`. Explainers are asked by v1 only.

        Raises as `predict`; `EndpointNotFound` where the service has no explainer.
        """
        service, line = self._service()
        if not isinstance(line, Transport):
            raise errors.InvalidRequest(
                f"{self.name}: explanations are not asked over gRPC.",
                subject=self.name,
                hint='Endpoint(name, protocol_version="v1") asks over HTTP.',
            )
        given = inputs.understand(x, service.signature, verbatim_dicts=service.transformed)
        body = (
            strict_json.dumps(v1.plain(given.payload))
            if given.payload is not None
            else v1.encode_request(inputs.to_rows(given), None)
        )
        try:
            response = self._infer("v1", body, (), None, timeout, verb="explain")
        except errors.NotFound as error:
            raise errors.EndpointNotFound(
                f"{self.name} has no explainer: {error.message}",
                subject=self.name,
                hint='Give it one: serve(..., serve_config={"explainer": {...}}).',
            ) from error
        found = self._decoded(strict_json.loads, response.body)
        if not isinstance(found, dict):
            raise errors.UpstreamFailed(f"{self.name}: the explanation is no object.", subject=self.name)
        return found

    def metadata(self) -> dict[str, Any]:
        """The server's own description of the model: `{"name", "versions", "platform", "inputs", "outputs"}` with v2."""
        service, line = self._service()
        if not isinstance(line, Transport):
            try:
                return line.metadata(TIMEOUT_SECONDS)
            except CannotConnect as error:
                raise self._unreachable(self._renewed(service), error) from error
        path = f"/{service.protocol}/models/{quote(service.model, safe='')}"
        response = self._get(path)
        refusals.check(response, self.name)
        found = self._decoded(strict_json.loads, response.body)
        if not isinstance(found, dict):
            raise errors.UpstreamFailed(f"{self.name}: the metadata is no object.", subject=self.name)
        return found

    def ready(self) -> bool:
        """Whether it answers predictions now. Raises `EndpointNotFound` where there is no such service."""
        try:
            service, line = self._service()
            if not isinstance(line, Transport):
                return line.ready(TIMEOUT_SECONDS)
            model = quote(service.model, safe="")
            path = f"/v2/models/{model}/ready" if service.protocol == "v2" else f"/v1/models/{model}"
            response = self._get("/ping" if service.mute else path)
            refusals.check(response, self.name)
        except (errors.EndpointNotReady, errors.EndpointGone, errors.Timeout, CannotConnect):
            return False
        if service.protocol == "v2":
            return True
        found = self._decoded(strict_json.loads, response.body)
        # TensorFlow Serving lists versions with states; KServe says ready, TorchServe how healthy it is.
        return not isinstance(found, dict) or (
            found.get("ready") not in (False, "False") and found.get("status") != "Unhealthy"
        )

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        with self._lock:
            found, self._found = self._found, None
        if found is not None:
            found[1].close()

    def __enter__(self) -> Endpoint:  # noqa: PYI034 (Self came with Python 3.11)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _predict_payload(
        self, payload: dict[str, Any], outputs: Sequence[str] | None, timeout: float
    ) -> dict[str, Any]:
        protocol: Literal["v1", "v2"] = "v1"
        if isinstance(payload.get("inputs"), list) and "instances" not in payload:
            items = payload["inputs"]
            protocol = (
                "v2"
                if items and all(isinstance(item, dict) and "datatype" in item for item in items)
                else "v1"
            )
        if protocol == "v2":
            payload = {"id": v2.new_id(), **payload}
        if outputs is not None and protocol == "v2":
            payload["outputs"] = [{"name": name} for name in outputs]
        elif outputs is not None:
            payload = {
                **payload,
                "parameters": {**(payload.get("parameters") or {}), "outputs": list(outputs)},
            }
        response = self._infer(protocol, strict_json.dumps(v1.plain(payload)), (), None, timeout)
        found = self._decoded(strict_json.loads, response.body)
        if not isinstance(found, dict):
            raise errors.UpstreamFailed(f"{self.name}: the answer is no object.", subject=self.name)
        return found

    def _predict_over_grpc(self, given: inputs.Given, outputs: Sequence[str] | None, timeout: float) -> Any:
        signature = self._service()[0].signature
        if given.payload is None:
            found = self._infer_tensors(inputs.to_tensors(given, signature), outputs, timeout)
            return answers.of_v2(found, given, signature, outputs)
        payload = v1.plain(given.payload)
        if "instances" in payload:
            rows = inputs.understand(v1.instances(payload), signature)
            outputs = outputs or v1.requested_outputs(payload)
            found = self._infer_tensors(inputs.to_tensors(rows, signature), outputs, timeout)
            return answers.as_v1(found)
        asked = v2.decode_request(strict_json.dumps(payload), None)
        names = outputs or [output.name for output in asked.outputs or ()] or None
        found = self._infer_tensors(asked.inputs, names, timeout)
        answer, _, _ = v2.encode_response(
            found.model_name, found.outputs, asked.id or found.id, model_version=found.model_version
        )
        return strict_json.loads(answer)

    def _infer_tensors(
        self, given: Sequence[Tensor], outputs: Sequence[str] | None, timeout: float
    ) -> v2.InferResponse:
        service, line = self._service()
        assert not isinstance(line, Transport)
        try:
            found, revision = line.infer(given, outputs, timeout)
        except CannotConnect as error:
            after, line = self._service(renew=True) if service.address is not None else (service, line)
            if isinstance(line, Transport) or (after == service and after.state not in ("Ready", "Updating")):
                raise self._unreachable(after, error) from error
            try:
                found, revision = line.infer(given, outputs, timeout)
            except CannotConnect as again:
                raise self._unreachable(after, again) from again
        if revision is not None and revision != service.revision and service.address is not None:
            self._follow(line, service, revision)
        return found

    def _infer(
        self,
        protocol: Literal["v1", "v2"],
        body: bytes,
        buffers: Sequence[memoryview],
        json_length: int | None,
        timeout: float,
        *,
        verb: str = "predict",
    ) -> Response:
        service, transport = self._service()
        assert isinstance(transport, Transport)
        asked = f"{protocol}:{verb}"
        start = self._heads.get(asked)
        if start is None:
            model = quote(service.model, safe="")
            path = f"/v2/models/{model}/infer" if protocol == "v2" else f"/v1/models/{model}:{verb}"
            start = f"POST {self._source.base}{path} HTTP/1.1\r\nHost: {self._source.host}\r\nContent-Type: "
            self._heads[asked] = start
        size = len(body) + sum([buffer.nbytes for buffer in buffers])
        kind = (
            v2.JSON_TYPE if json_length is None else f"{v2.BINARY_TYPE}\r\n{v2.LENGTH_HEADER}: {json_length}"
        )
        head = f"{start}{kind}\r\nContent-Length: {size}\r\n{self._source.headers()}\r\n".encode("ascii")
        try:
            response = transport.request(head, (body, *buffers), timeout)
        except CannotConnect as error:
            response = self._elsewhere(error, head, (body, *buffers), timeout)
        except (errors.EndpointGone, errors.Timeout, errors.UpstreamFailed) as error:
            error.subject = error.subject or self.name
            raise
        refusals.check(response, self.name)
        revision = response.headers.get("x-kale-serve-revision")
        if revision is not None and revision != service.revision and service.address is not None:
            self._follow(transport, service, revision)
        return response

    def _elsewhere(
        self, error: CannotConnect, head: bytes, body: tuple[bytes | memoryview, ...], timeout: float
    ) -> Response:
        before, _ = self._service()
        if before.address is None:
            raise self._unreachable(before, error) from error
        after, transport = self._service(renew=True)
        assert isinstance(transport, Transport)
        if after.address == before.address and after.state not in ("Ready", "Updating"):
            raise self._unreachable(after, error) from error
        try:
            return transport.request(head, body, timeout)
        except CannotConnect as again:
            raise self._unreachable(after, again) from again

    def _unreachable(self, service: Service, error: Exception) -> errors.KaleServeError:
        if service.state is None:
            return errors.EndpointNotReady(
                f"{self.name}: nothing answers at {self._source.host}: {error}.",
                subject=self.name,
                hint="Check the address.",
            )
        said = service.sentence or f"It is {service.state}."
        cause = service.error or {}
        return errors.EndpointNotReady(
            f"{self.name} does not answer predictions. {said}",
            subject=self.name,
            hint=cause.get("hint") or "isvc.wait() waits until it is ready; isvc.logs() shows why it is not.",
            details={"state": service.state, **({"error": cause} if cause else {})},
        )

    def _get(self, path: str) -> Response:
        service, transport = self._service()
        assert isinstance(transport, Transport)

        def refuse(error: Exception) -> errors.KaleServeError:
            return self._unreachable(self._renewed(service), error)

        return get(transport, self._source, path, TIMEOUT_SECONDS, refuse)

    def _renewed(self, service: Service) -> Service:
        return self._service(renew=True)[0] if service.address is not None else service

    def _service(self, *, renew: bool = False) -> tuple[Service, Line]:
        found = self._found
        if found is not None and not renew:
            return found
        with self._lock:
            if self._found is not None and self._found is not found:
                # Another thread has asked in the meantime.
                return self._found
            service = self._source.find()
            if found is not None and _same_line(found[0], service):
                self._found = (service, found[1])
            else:
                self._found = (service, self._source.line(service))
                self._heads = {}
                if found is not None:
                    found[1].close()
            return self._found

    def _follow(self, line: Line, before: Service, revision: str) -> None:
        # A new revision may take something else. The prediction itself is there already, whatever the daemon says now.
        after = before
        with contextlib.suppress(errors.KaleServeError):
            after = self._source.find()
        with self._lock:
            if self._found == (before, line) and _same_line(after, before):
                self._found = (replace(after, revision=revision), line)

    def _decoded(self, decode: Any, body: Any) -> Any:
        try:
            return decode(body)
        except errors.InvalidInput as error:
            raise self._no_answer(error) from error

    def _decoded_v2(self, response: Response) -> v2.InferResponse:
        try:
            return v2.decode_response(
                response.body, v2.header_length(response.headers.get(v2.LENGTH_HEADER.lower()))
            )
        except errors.InvalidInput as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: errors.InvalidInput) -> errors.UpstreamFailed:
        return errors.UpstreamFailed(
            f"{self.name}: the server's answer cannot be read. {error.message}",
            subject=self.name,
            hint="Is it a model server that speaks this protocol?",
        )


def _source(
    name: str,
    namespace: str | None,
    *,
    token: str | None,
    kubernetes_host: str | None,
    url: str | None,
    protocol: Any,
    target: str | None,
) -> Source:
    if kubernetes_host is not None:
        from kale_serve_lab.endpoint.kubernetes import GatewaySource, KubernetesSource

        if url is None:
            return KubernetesSource(name, namespace, kubernetes_host, token, protocol)
        return GatewaySource(name, namespace, kubernetes_host, token, url=url, protocol=protocol)
    if url is None:
        return DaemonSource(name, namespace, protocol, target)
    if url.startswith(("grpc:", "grpcs:")):
        return GrpcSource(name, url, token, protocol)
    return UrlSource(name, url, token, protocol)


def _same_line(one: Service, other: Service) -> bool:
    # v1 and v2 share theirs; over gRPC each protocol has its own.
    spoken = [service.protocol if service.protocol in GRPC else "" for service in (one, other)]
    return (one.address, one.grpc, spoken[0]) == (other.address, other.grpc, spoken[1])
