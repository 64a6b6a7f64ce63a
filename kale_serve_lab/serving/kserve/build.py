"""The InferenceService of KServe, from artifacts and ServeConfig. Pure: dicts in, a dict out.

The same service gives the same object, key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kale_serve_lab.serving.kserve.canary import canaries, knative_percent
from kale_serve_lab.serving.kserve.containers import (
    CONTAINER,
    MODEL_FIELDS,
    component_of,
    container_of,
    merged_env,
    own,
    user_container,
)
from kale_serve_lab.serving.kserve.features import Features, Mode, mode_of
from kale_serve_lab.serving.kserve.keys import camelled, plain
from kale_serve_lab.serving.kserve.marks import FIELD_MANAGER, MANAGED_BY, REVISION
from kale_serve_lab.serving.kserve.propagation import propagate
from kale_serve_lab.serving.kserve.publishing import Placed
from kale_serve_lab.serving.kserve.told import VARIABLE, told
from kale_serve_lab.serving.kserve.volumes import is_rok
from kale_serve_lab.serving.runtimes import BUILT_IN, CUSTOM, Runtime
from kale_serve_lab.serving.types import ArtifactRef, InferenceService

API_VERSION = "serving.kserve.io/v1beta1"
KIND = "InferenceService"
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
MODEL = "kale-serve-lab/model"
MODEL_DIGEST = "kale-serve-lab/model-digest"
TRANSFORMER = "kale-serve-lab/transformer"
TRANSFORMER_DIGEST = "kale-serve-lab/transformer-digest"
# KServe reads them off a custom container: what to fetch to /mnt/models, and the protocol that the service speaks.
_STORAGE_URI = "STORAGE_URI"
_PROTOCOL = "PROTOCOL"
_COMMAND = ("python", "-m", "kale_serve_lab.model_server.container")


@dataclass(frozen=True)
class ClusterAbout:
    """What the object depends on of the cluster. `image` is that of our own server, `pod_defaults` are PodDefault objects."""

    features: Features
    image: str | None
    namespace: str
    pod_defaults: tuple[Mapping[str, Any], ...] = ()
    modes: tuple[str, ...] = ("Standard", "Knative")
    default_mode: Mode | None = None


def build(
    service: InferenceService, runtime: Runtime | None, placed: Mapping[str, Placed], about: ClusterAbout
) -> dict[str, Any]:
    """The object for server-side apply.

    `placed` says where each component's files are, by "predictor" and "transformer". `runtime` is None for the user's own
    container, and for a ServingRuntime of the cluster that only its name is known of.
    """
    spec: dict[str, Any] = {"predictor": _predictor(service, runtime, placed.get("predictor"), about)}
    if "transformer" in service.components:
        spec["transformer"] = _transformer(service, placed.get("transformer"), about)
    if service.config.explainer:
        spec["explainer"] = _custom(service, "explainer", None, about)
    mode = wanted_mode(service, about)
    if service.config.canary:
        if mode == "Knative":
            percent = knative_percent(service.config.canary)
            if percent is not None:
                spec["predictor"]["canaryTrafficPercent"] = percent
        elif about.features.canary_list:
            spec["canary"] = canaries(service.config.canary, spec["predictor"])
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": _metadata(service, about),
        "spec": spec,
    }


def wanted_mode(service: InferenceService, about: ClusterAbout) -> Mode | None:
    """The mode that is asked for, else the cluster's own; None where that is not known."""
    asked = service.config.deployment_mode or (service.config.annotations or {}).get(DEPLOYMENT_MODE)
    return mode_of(asked) if asked else about.default_mode


def is_ours(service: InferenceService) -> bool:
    """Whether the predictor is our image."""
    return service.runtime == BUILT_IN and not user_container(service.config, "predictor")


def to_yaml(obj: Mapping[str, Any]) -> str:
    """As a GitOps repository wants it: keys in our order, no aliases."""
    import yaml

    text: str = yaml.safe_dump(plain(obj), sort_keys=False, allow_unicode=True, width=110)
    return text


def owned_paths(obj: Any, path: str = "") -> tuple[str, ...]:
    """The paths of all values that we write: `spec.predictor.model.storageUri`, `….env[NAME].value`."""
    from kale_serve_lab.serving.kserve.drift import leaves

    return tuple(leaves(obj, path))


def _metadata(service: InferenceService, about: ClusterAbout) -> dict[str, Any]:
    annotations = dict(service.config.annotations or {})
    asked = mode_of(service.config.deployment_mode)
    if asked is not None:
        annotations[DEPLOYMENT_MODE] = about.features.mode_name(asked)
    annotations[REVISION] = str(service.revision)
    for artifact, name, digest in (
        (service.model, MODEL, MODEL_DIGEST),
        (service.transformer, TRANSFORMER, TRANSFORMER_DIGEST),
    ):
        if artifact is not None:
            annotations |= {name: f"{artifact.name}:{artifact.version}", digest: artifact.digest}
    labels = dict(service.config.labels or {}) | {MANAGED_BY: FIELD_MANAGER}
    return {
        "name": service.key.name,
        "namespace": about.namespace,
        "labels": dict(sorted(labels.items())),
        "annotations": dict(sorted(annotations.items())),
    }


def _predictor(
    service: InferenceService, runtime: Runtime | None, placed: Placed | None, about: ClusterAbout
) -> dict[str, Any]:
    if user_container(service.config, "predictor") or service.runtime == CUSTOM:
        return _custom(service, "predictor", placed, about)
    if is_ours(service):
        return _ours(service, "predictor", service.model, placed, about)
    found = component_of(service.config, "predictor")
    container = container_of(service.config, "predictor")
    _account(found, placed)
    propagate(found, container, about.pod_defaults)
    given = own(service.config, "predictor")
    name = runtime.name if runtime is not None else service.runtime
    model: dict[str, Any] = {
        "modelFormat": {"name": (service.model.framework if service.model else None) or ""},
        **({"runtime": name} if name else {}),
        "protocolVersion": service.protocol,
        **_stored(service, placed),
        **container,
    }
    model |= {key: value for key, value in given.items() if key in MODEL_FIELDS}
    return {"model": model, **found}


def _stored(service: InferenceService, placed: Placed | None) -> dict[str, Any]:
    """`storage` of ServeConfig is KServe's own (`key`, `path` …), or `uri` in place of what was published."""
    storage = dict(service.config.storage or {})
    storage.pop("uri", None)
    uri = _uri(service, placed)
    found: dict[str, Any] = {}
    if storage:
        found["storage"] = camelled(storage)
    if uri and not (storage.get("path") or storage.get("key")):
        found["storageUri"] = uri
    return found


def _uri(service: InferenceService, placed: Placed | None) -> str | None:
    """Where the model is for the cluster: what Rok has, in the claim that it fills."""
    given: str | None = (service.config.storage or {}).get("uri")
    published = None if placed is None else placed.uri
    return published if is_rok(given) else given or published


def _transformer(service: InferenceService, placed: Placed | None, about: ClusterAbout) -> dict[str, Any]:
    if user_container(service.config, "transformer"):
        return _custom(service, "transformer", None, about)
    return _ours(service, "transformer", service.transformer, placed, about)


def _custom(
    service: InferenceService, component: str, placed: Placed | None, about: ClusterAbout
) -> dict[str, Any]:
    """The user's own image. With a model its files are at /mnt/models."""
    found = component_of(service.config, component)
    container = container_of(service.config, component)
    if component == "predictor":
        _hand_over(service, container, placed)
    return _with(found, container, placed, about)


def _ours(
    service: InferenceService,
    component: str,
    artifact: ArtifactRef | None,
    placed: Placed | None,
    about: ClusterAbout,
) -> dict[str, Any]:
    found = component_of(service.config, component)
    container = container_of(service.config, component)
    arguments = ["--model_name=" + service.key.name, "--model_dir=/mnt/models"]
    if component == "transformer":
        arguments.append(f"--predictor_protocol={service.protocol}")
    container = {
        **({"image": about.image} if about.image else {}),
        "command": list(_COMMAND),
        "args": [*arguments, *container.pop("args", ())],
        "ports": [_port(service)],
        **container,
    }
    container["env"] = merged_env(
        container.get("env", []), [{"name": VARIABLE, "value": told(service, artifact)}]
    )
    _hand_over(service, container, placed)
    return _with(found, container, placed, about)


def _port(service: InferenceService) -> dict[str, Any]:
    # Knative speaks HTTP/2 to a port of this name, and takes one port only.
    if service.protocol.startswith("grpc"):
        return {"name": "h2c", "containerPort": 8081, "protocol": "TCP"}
    return {"name": "http1", "containerPort": 8080, "protocol": "TCP"}


def _hand_over(service: InferenceService, container: dict[str, Any], placed: Placed | None) -> None:
    """A custom container says by its variables what is fetched for it, and how it speaks."""
    given = container.get("env", [])
    ours = [{"name": _PROTOCOL, "value": service.protocol}]
    uri = _uri(service, placed)
    if uri:
        ours.append({"name": _STORAGE_URI, "value": uri})
    container["env"] = merged_env(ours, given)


def _with(
    found: dict[str, Any], container: dict[str, Any], placed: Placed | None, about: ClusterAbout
) -> dict[str, Any]:
    _account(found, placed)
    propagate(found, container, about.pod_defaults)
    others = found.pop("containers", [])
    return {"containers": [{"name": CONTAINER, **container}, *others], **found}


def _account(found: dict[str, Any], placed: Placed | None) -> None:
    """The account that may read the store, unless another was asked for."""
    if placed is not None and placed.service_account is not None:
        found.setdefault("serviceAccountName", placed.service_account)
