"""One component of an InferenceService, from what ServeConfig says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kale_serve_lab.serving.config import ServeConfig
from kale_serve_lab.serving.kserve.features import Version
from kale_serve_lab.serving.kserve.keys import camel, camelled, plain

# KServe puts the model into the container of this name, whatever the user called it.
CONTAINER = "kserve-container"
# Of a component's own dict these belong to the container that serves, the rest to the component and its pod.
CONTAINER_FIELDS = frozenset({
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports", "readinessProbe",
    "resizePolicy", "resources", "startupProbe", "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy",
    "tty", "volumeDevices", "volumeMounts", "workingDir",
})  # fmt: skip
MODEL_FIELDS = frozenset({"runtimeVersion", "modelFormat", "storage", "confidential"})
COMPONENT_FIELDS = frozenset({
    "activeDeadlineSeconds", "affinity", "annotations", "autoScaling", "automountServiceAccountToken", "batcher",
    "canaryTrafficPercent", "containerConcurrency", "deploymentStrategy", "dnsConfig", "dnsPolicy", "enableServiceLinks",
    "hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostUsers", "hostname", "imagePullSecrets", "initContainers", "labels",
    "logger", "maxReplicas", "minReplicas", "nodeName", "nodeSelector", "os", "overhead", "preemptionPolicy", "priority",
    "priorityClassName", "readinessGates", "resourceClaims", "restartPolicy", "runtimeClassName", "scaleMetric",
    "scaleMetricType", "scaleTarget", "schedulerName", "schedulingGates", "securityContext", "serviceAccountName",
    "setHostnameAsFQDN", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "timeout", "tolerations",
    "topologySpreadConstraints", "volumes", "workerSpec",
})  # fmt: skip
# The newest version that is known to lack the field, and the oldest that is known to have it.
LATER_FIELDS: dict[str, tuple[Version, Version]] = {
    "hostnameOverride": ((0, 15), (0, 17)),
    "confidential": ((0, 17), (0, 20)),
    "name": ((0, 17), (0, 20)),
    "storageContainerName": ((0, 17), (0, 20)),
}
OF_PREDICTOR_ONLY = frozenset({"name", "storageContainerName", "workerSpec", *MODEL_FIELDS})
# Read here, under these names, and written elsewhere.
OWN_FIELDS = frozenset({"container", "containers", "requests", "limits", "serviceAccount"})
_OF_PREDICTOR = (
    "min_replicas", "max_replicas", "scale_target", "scale_metric", "batcher", "logger",
)  # fmt: skip
# pods of both.
_OF_BOTH = ("affinity", "tolerations", "node_selector")


def env_list(value: Any) -> list[dict[str, Any]]:
    """Kubernetes' list of `{"name", "value"}` from that or from a dict; the last of a name wins, at the first's place."""
    if value is None:
        return []
    items = (
        [{"name": str(name), "value": plain(text)} for name, text in value.items()]
        if isinstance(value, Mapping)
        else [camelled(one) for one in value]
    )
    return list({one.get("name"): one for one in items}.values())


def merged_env(*lists: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By name; the last wins, at the first's place."""
    found: dict[Any, dict[str, Any]] = {}
    for items in lists:
        for one in items:
            found[one.get("name")] = dict(one)
    return list(found.values())


def own(config: ServeConfig, component: str) -> dict[str, Any]:
    """The component's own dict as Kubernetes writes it; `env` stays as it is, for its keys may be the user's."""
    given = getattr(config, component) or {}
    return {
        camel(str(key)): (
            plain(value)
            if camel(str(key)) in ("env", "labels", "annotations", "limits", "requests", "nodeSelector")
            else camelled(value)
        )
        for key, value in given.items()
    }


def component_of(config: ServeConfig, component: str) -> dict[str, Any]:
    """All of a component but the container that serves."""
    found: dict[str, Any] = {}
    given = own(config, component)
    if component != "explainer":
        for name in _OF_BOTH:
            value = getattr(config, name)
            if value is not None:
                found[camel(name)] = plain(value) if name == "node_selector" else camelled(value)
        if config.service_account is not None:
            found["serviceAccountName"] = config.service_account
        if config.timeout is not None:
            found["timeout"] = max(1, -int(-config.timeout // 1))
    if component == "predictor":
        for name in _OF_PREDICTOR:
            value = getattr(config, name)
            if value is not None:
                found[camel(name)] = camelled(value)
    for key, value in given.items():
        if key == "serviceAccount":
            found["serviceAccountName"] = value
        elif key not in OWN_FIELDS | CONTAINER_FIELDS | MODEL_FIELDS and value is not None:
            found[key] = value
    # A predictor of several containers: the first one serves.
    others = given.get("containers")
    if isinstance(others, list) and len(others) > (0 if "container" in given else 1):
        found["containers"] = others if "container" in given else others[1:]
    return found


def container_of(config: ServeConfig, component: str) -> dict[str, Any]:
    """What ServeConfig says of the container that serves: the user's own image, variables, resources, probes."""
    given = own(config, component)
    container = user_container(config, component)
    inner = camelled({key: value for key, value in container.items() if key != "env"})
    inner.pop("name", None)
    fields = {key: value for key, value in given.items() if key in CONTAINER_FIELDS and value is not None}
    fields.pop("env", None)
    found: dict[str, Any] = fields | inner
    common = component != "explainer"
    variables = merged_env(
        env_list(config.env) if common else [], env_list(given.get("env")), env_list(container.get("env"))
    )
    if variables:
        found["env"] = variables
    sources = inner.get("envFrom", given.get("envFrom"))
    if sources is None and common:
        sources = camelled(config.env_from)
    if sources:
        found["envFrom"] = sources
    resources = {key: dict(value) for key, value in (found.get("resources") or {}).items()}
    for name in ("requests", "limits"):
        value = given.get(name)
        if value is None and common:
            value = getattr(config, name)
        if value:
            resources[name] = {**_amounts(value), **resources.get(name, {})}
    if resources:
        found["resources"] = resources
    return found


def user_container(config: ServeConfig, component: str) -> Mapping[str, Any]:
    """The container that the user gave in place of ours; empty where there is none."""
    given = getattr(config, component) or {}
    found = given.get("container")
    if found is None and isinstance(given.get("containers"), list | tuple) and given["containers"]:
        found = given["containers"][0]
    return found if isinstance(found, Mapping) else {}


def _amounts(value: Mapping[str, Any]) -> dict[str, Any]:
    # Kubernetes writes a quantity as a text; a float is no quantity to it.
    return {str(key): str(amount) for key, amount in value.items()}
