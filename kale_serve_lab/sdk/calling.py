"""`serve()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kale_serve_lab.artifacts import Model, Transformer, savers
from kale_serve_lab.artifacts.session import session
from kale_serve_lab.client import Client
from kale_serve_lab.errors import InvalidConfig, InvalidRequest
from kale_serve_lab.sdk.handle import InferenceService
from kale_serve_lab.sdk.progress import Progress, say
from kale_serve_lab.sdk.showing import remark
from kale_serve_lab.serving.config import ServeConfig


def serve(
    model_id: int | str | Model | Mapping[str, Any] | None = None,
    transformer_id: int | str | Transformer | Mapping[str, Any] | None = None,
    name: str | None = None,
    serve_config: ServeConfig | Mapping[str, Any] | None = None,
    wait: bool = True,  # noqa: FBT001, FBT002 (Kale's signature)
    propagate_configurations: bool = False,  # noqa: FBT001, FBT002
    *,
    create_only: bool = False,
    timeout_seconds: float | None = None,
    target: str | None = None,
    namespace: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
) -> InferenceService:
    """Serve a model, behind a transformer where one is given, and return the handle on the InferenceService.

    A model or transformer is an id, `"name:version"`, `"name"` (its newest version), an artifact object (submitted first
    where it was not yet), or a fitted model. The name of a service that is there makes its next revision, unless
    `create_only`. With `wait` progress is shown and the call returns when predictions are answered, after at most
    `timeout_seconds`. What preflight remarks is shown too, and stays in `.findings`.

    `target` is "local" (processes here) or "kserve" (a cluster; `kale-serve cluster set` says which); None is what is configured.
    `namespace` is one of the cluster's. `dry_run` starts and sends nothing: the handle has the `.findings`, and on a cluster
    `.object` and `.to_yaml()`. `overwrite` takes back the fields that others have changed on the cluster, and an object that
    is somebody else's. `propagate_configurations` gives the pods on a cluster the PodDefaults that this notebook has.

    The model's own interpreter serves it over v1 and v2. `ServeConfig(runtime="kserve-mlserver")` takes another model server (or
    one of your own, by the name in its YAML), for which an environment is made first where there is none;
    `ServeConfig(protocol_version="grpc-v2")` asks for one protocol ("v1", "v2", "grpc-v1", "grpc-v2"). Both are `None` by default.

    Raises what the submission raises, `InvalidConfig`, `InvalidName`, `ArtifactNotFound`, `PreflightFailed`, `NameTaken`, and
    with `wait` the cause of a failed start (`EnvironmentFailed`, `ModelLoadFailed`, `LoadTimeout`, `PredictFailed`) as soon as it fails, with the
    tail of the log in `details["log_tail"]`, and `Timeout`.
    """
    config = ServeConfig.from_value(serve_config)
    if model_id is None and config.to_json().get("predictor") is None:
        raise InvalidRequest(
            "There is nothing to serve: no model, and no predictor container in serve_config.",
            subject=name,
            hint="serve(model.id), with the id that submit_artifact() has set.",
        )
    if propagate_configurations:
        _only_on_a_cluster(target, name)
    progress = Progress() if wait and not dry_run else None
    given = Model(model=model_id) if savers.is_model(model_id) else model_id
    model = _reference(given, Model, progress)
    body = {
        "name": name,
        "namespace": namespace,
        "model": model,
        "transformer": _reference(transformer_id, Transformer, progress),
        "config": config.to_json(),
        "target": target,
        "create_only": create_only,
        "dry_run": dry_run,
        "overwrite": overwrite,
        "propagate_configurations": propagate_configurations,
        "session": session(),
    }
    answer = Client().request("POST", "/api/services", body)
    if dry_run:
        return InferenceService({**answer["service"], "findings": answer["findings"]}, shown=answer)
    service = InferenceService(answer)
    if progress is None:
        for finding in service.findings:
            if finding["severity"] != "info":
                say(f"! {remark(finding)}")
        return service
    progress.remarks(service.findings)
    service._wait(timeout_seconds, progress)  # noqa: SLF001
    return service


def _only_on_a_cluster(target: str | None, name: str | None) -> None:
    if target is None:
        target = Client().request("GET", "/api/targets")["default"]
    if target == "local":
        raise InvalidConfig(
            "propagate_configurations copies a notebook's PodDefaults, which only a cluster has.",
            subject=name,
            hint='Leave it away to serve on this machine, or serve(…, target="kserve").',
        )


def _reference(given: Any, cls: type[Model | Transformer], progress: Progress | None) -> int | str | None:
    """What the daemon calls it: an id or "name:version"."""
    if given is None or isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return int(given) if isinstance(given, str) and given.isdigit() else given
    if isinstance(given, cls):
        if given.id is None:
            given.submit_artifact()
            if progress is not None and isinstance(given, Model):
                progress.submitted(given.seconds)
        return given.id
    if isinstance(given, Mapping) and isinstance(given.get("id"), int):
        return int(given["id"])
    raise InvalidRequest(
        f'{type(given).__name__} is neither an id, nor "name:version", nor a {cls.__name__}.',
        subject=type(given).__name__,
        hint=f"Pass the id that {cls.__name__}(…).submit_artifact() has set.",
    )
