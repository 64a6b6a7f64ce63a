"""KServe's ModelServer 0.21 with the models of its own servers: v1 and v2 over HTTP, and gRPC."""

from __future__ import annotations

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server.foreign import table
from kale_serve_lab.model_server.foreign.bootstrap import script
from kale_serve_lab.model_server.foreign.launch import Given, Launch

_FORMATS = ("sklearn", "xgboost", "lightgbm", "pmml")


def prepare(given: Given) -> Launch:
    """HTTP and gRPC on Unix sockets; the model as KServe's server of its format loads it."""
    spec = given.spec
    if spec.framework not in _FORMATS:
        raise ModelLoadFailed(
            f"{spec.service}: KServe has no server of its own for {spec.framework or 'a model without a format'}.",
            subject=spec.service,
            hint=f"It serves {', '.join(_FORMATS)}.",
        )
    table.write(spec.signature, given.work)
    arguments = [
        spec.framework,
        spec.model_name,
        given.folder,
        given.work,
        given.http_socket,
        given.grpc_socket,
    ]
    return Launch(
        argv=[str(given.python), str(script("run_kserve.py")), *map(str, arguments)],
        http=given.http_socket,
        grpc=f"unix:{given.grpc_socket}",
        ready_path=f"/v2/models/{spec.model_name}/ready",
        paths={
            "v1": f"/v1/models/{spec.model_name}:predict",
            "v2": f"/v2/models/{spec.model_name}/infer",
        },
    )
