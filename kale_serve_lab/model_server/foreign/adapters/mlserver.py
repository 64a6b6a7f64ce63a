"""MLServer 1.7: v2 over HTTP and gRPC. Its settings are written anew for each start."""

from __future__ import annotations

import json
from typing import Any

from kale_serve_lab.errors import ModelLoadFailed
from kale_serve_lab.model_server.foreign import table
from kale_serve_lab.model_server.foreign.bootstrap import script
from kale_serve_lab.model_server.foreign.launch import Given, Launch

# Format -> its implementation, and the files that it may be given by.
_IMPLEMENTATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sklearn": ("mlserver_sklearn.SKLearnModel", ("model.joblib", "model.pkl", "model.pickle")),
    "xgboost": ("mlserver_xgboost.XGBoostModel", ("model.ubj", "model.json", "model.bst")),
    "lightgbm": ("mlserver_lightgbm.LightGBMModel", ("model.bst",)),
    "mlflow": ("mlserver_mlflow.MLflowRuntime", ("",)),
}


def prepare(given: Given) -> Launch:
    """Settings in `work`, HTTP and gRPC on Unix sockets."""
    spec = given.spec
    if spec.framework not in _IMPLEMENTATIONS:
        raise ModelLoadFailed(
            f"{spec.service}: MLServer has no runtime for {spec.framework or 'a model without a format'}.",
            subject=spec.service,
            hint=f"It serves {', '.join(_IMPLEMENTATIONS)}.",
        )
    implementation, files = _IMPLEMENTATIONS[spec.framework]
    there = [name for name in files if (given.folder / name).exists()]
    if not there:
        raise ModelLoadFailed(
            f"{spec.service}: the artifact has none of {', '.join(files)}.",
            subject=spec.service,
            hint="MLServer loads a model by its file's name: submit the model again.",
        )
    parameters: dict[str, Any] = {
        "uri": str(given.folder / there[0]) if there[0] else str(given.folder),
        "version": str(spec.revision),
    }
    if table.write(spec.signature, given.work):
        parameters["content_type"] = "kale-serve-table"
    settings = {
        "debug": False,
        # Its default of one worker process dies with uvloop 0.22, and doubles the memory of the model.
        "parallel_workers": 0,
        "metrics_endpoint": None,
        "gzip_enabled": False,
        "grpc_max_message_length": min(spec.max_body_bytes, (1 << 31) - 1),
        "model_repository_root": str(given.work),
        "host": "127.0.0.1",
        "http_port": given.http_port,
        "grpc_port": given.grpc_port,
        "environments_dir": str(given.work / "environments"),
        "metrics_dir": str(given.work / "metrics"),
    }
    model = {"name": spec.model_name, "implementation": implementation, "parameters": parameters}
    (given.work / "settings.json").write_text(json.dumps(settings))
    (given.work / "model-settings.json").write_text(json.dumps(model))
    return Launch(
        argv=[
            str(given.python),
            str(script("run_mlserver.py")),
            str(given.work),
            str(given.http_socket),
            str(given.grpc_socket),
        ],
        http=given.http_socket,
        grpc=f"unix:{given.grpc_socket}",
        ready_path=f"/v2/models/{spec.model_name}/ready",
        paths={"v2": f"/v2/models/{spec.model_name}/infer"},
    )
