"""The routes: v1, and v2 (the Open Inference Protocol)."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from kale_serve_lab.errors import EndpointNotFound, InvalidRequest, NotFound
from kale_serve_lab.inference.signature import TensorSpec
from kale_serve_lab.model_server.component import Component
from kale_serve_lab.model_server.http import Request, Response
from kale_serve_lab.model_server.spec import LaunchSpec

_V2_MODEL = re.compile(
    r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?"
)
_V1_MODEL = re.compile(r"/v1/models/(?P<model>[^/:]+)(?P<rest>:predict)?")


class App:
    """Answers requests for one model name and revision."""

    def __init__(
        self, spec: LaunchSpec, component: Component, ready: Callable[[], bool] = lambda: True
    ) -> None:
        self._name = spec.model_name
        self._version = str(spec.revision)
        self._component = component
        # False once the process is asked to leave: it still answers, and no new caller should come.
        self._ready = ready
        binary = spec.runtime is None or spec.runtime.binary
        self._extensions = ["binary_tensor_data"] if binary else []
        # What clients send again and again, without any matching.
        self._infer = {f"/v2/models/{self._name}/infer": "v2", f"/v1/models/{self._name}:predict": "v1"}

    def answer(self, request: Request, respond: Callable[[Response], None]) -> None:
        """`HttpServer`'s `answer`."""
        protocol = self._infer.get(request.path) if request.method == "POST" else None
        if protocol is None:
            try:
                protocol = self._route(request, respond)
            except (NotFound, InvalidRequest) as error:
                respond(Response.of_error(error))
                return
        if protocol is not None:
            self._component.infer("v1" if protocol == "v1" else "v2", request, respond)

    def _route(self, request: Request, respond: Callable[[Response], None]) -> str | None:
        """Answer what is no prediction; the protocol of what is one."""
        path = request.path.partition("?")[0]
        if not path.startswith("/"):
            raise InvalidRequest("The request's target is a path of this server.", subject=path[:200])
        value: object
        if path == "/v2/health/live":
            value = {"live": True}
        elif path == "/v2/health/ready":
            if not self._ready():
                respond(Response.of_json({"ready": False}, 503))
                return None
            value = {"ready": True}
        elif path == "/":
            # What KServe's own server answers there, and its probes ask.
            value = {"status": "alive"}
        elif path in ("/v2", "/v2/"):
            value = {"name": "kale-serve", "version": self._version, "extensions": self._extensions}
        elif path in ("/v1/models", "/v1/models/"):
            value = {"models": [self._name]}
        elif match := _V2_MODEL.fullmatch(path):
            self._check_model(match["model"], match["version"])
            if match["rest"] == "/infer":
                return self._posted("v2", request, respond)
            if match["rest"] == "/ready":
                value = {"name": self._name, "ready": True}
            else:
                value = {
                    "name": self._name,
                    "versions": [self._version],
                    "platform": self._component.platform,
                    "inputs": [_metadata(spec) for spec in self._component.inputs()],
                    "outputs": [_metadata(spec) for spec in self._component.outputs()],
                }
        elif match := _V1_MODEL.fullmatch(path):
            self._check_model(match["model"], None)
            if match["rest"]:
                return self._posted("v1", request, respond)
            value = {"name": self._name, "ready": True}
        else:
            raise NotFound(
                f"There is nothing at {path[:200]}.",
                subject=self._name,
                hint=f"Predictions are asked by POST /v2/models/{self._name}/infer or /v1/models/{self._name}:predict.",
            )
        if request.method in ("GET", "HEAD"):
            respond(Response.of_json(value))
        else:
            respond(_not_allowed(request, "GET, HEAD"))
        return None

    def _posted(self, protocol: str, request: Request, respond: Callable[[Response], None]) -> str | None:
        if request.method == "POST":
            return protocol
        respond(_not_allowed(request, "POST"))
        return None

    def _check_model(self, model: str, version: str | None) -> None:
        if unquote(model) != self._name:
            raise EndpointNotFound(
                f"There is no model {unquote(model)[:100]!r} at this endpoint.",
                subject=self._name,
                hint=f"It serves {self._name!r}.",
            )
        if version is not None and unquote(version) != self._version:
            raise EndpointNotFound(
                f"{self._name} has no version {unquote(version)[:100]!r}.",
                subject=self._name,
                hint=f"It serves {self._version!r}.",
            )


def _not_allowed(request: Request, allowed: str) -> Response:
    error = InvalidRequest(
        f"{request.method[:20]} is not allowed here.", subject=request.path[:200], hint=f"Use {allowed}."
    )
    return Response.of_error(error, 405, {"Allow": allowed})


def _metadata(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}
