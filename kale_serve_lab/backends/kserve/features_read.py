"""Which KServe the cluster has: read off the fields that it serves, and off its configuration where we may read that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Answer, Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import CONFIG_MAPS, INFERENCE_SERVICES
from kale_serve_lab.backends.kserve.settings import Settings
from kale_serve_lab.errors import NotFound
from kale_serve_lab.serving.kserve.features import Features

_SCHEMA = f"/openapi/v3/apis/{INFERENCE_SERVICES.group}/{INFERENCE_SERVICES.version}"
_KNATIVE = "/apis/serving.knative.dev"
# Where KServe's own chart, and Kubeflow's manifests, put it.
_CONFIG_NAMESPACES = ("kserve", "kubeflow")
_CONFIG = "inferenceservice-config"
# Fields by the first version that has them; the newest that is there says which version it is at least.
_MARKS = (
    ((0, 20), ("canary",)),
    ((0, 17), ("predictor", "storageUris")),
)
_OLDEST = (0, 15)
_TAG = re.compile(r":v?(\d+)\.(\d+)(?:\.\d+)?(?:[-+][\w.]*)?$")
_MODES = {"Serverless": "Knative", "Knative": "Knative", "RawDeployment": "Standard", "Standard": "Standard"}


@dataclass(frozen=True)
class Installed:
    """What is there. `fields` are the paths of the InferenceService's spec that the cluster takes; None: not told.

    `version` is (major, minor), at least that; `default_mode` is `Standard` or `Knative`, None where its configuration is
    closed to us. `modes` are those that can work. `domain` is the ingress' own.
    """

    version: tuple[int, int]
    fields: frozenset[str] | None
    modes: tuple[str, ...]
    default_mode: str | None = None
    domain: str | None = None

    def has(self, path: str) -> bool:
        """Whether the spec has a field (`canary`, `predictor.storageUris`); by the version where the schema is not told."""
        if self.fields is not None:
            return path in self.fields
        marks = {".".join(mark): version for version, mark in _MARKS}
        return self.version >= marks.get(path, _OLDEST)


def read(cluster: Cluster, settings: Settings) -> Installed:
    """Ask for it: three or four requests. A version that the settings name is taken as it is.

    Raises `NotFound` where KServe is not installed, `Unauthorized` and `ClusterUnavailable`.
    """
    schema = cluster.request("GET", _SCHEMA, timeout=30.0)
    if schema.status == 404:
        raise NotFound(
            "KServe is not installed on this cluster: it does not know inferenceservices of serving.kserve.io/v1beta1.",
            subject=cluster.server,
            hint="Ask whoever looks after the cluster to install KServe 0.15 or newer.",
        )
    if schema.status == 401:
        raise errors_of(schema, "get", "the API's schema")
    fields = _fields(schema)
    config = _config(cluster)
    version = _named(settings.kserve_version) or _of_config(config) or _of_fields(fields)
    knative = cluster.request("GET", _KNATIVE, timeout=10.0)
    deploy = _part(config, "deploy")
    domain = _part(config, "ingress").get("ingressDomain")
    return Installed(
        version,
        fields,
        ("Standard",) if knative.status == 404 else ("Standard", "Knative"),
        _MODES.get(str(deploy.get("defaultDeploymentMode"))),
        domain if isinstance(domain, str) else None,
    )


def features(installed: Installed) -> Features:
    """Those of the version, but for the fields that the cluster itself says it takes or does not."""
    return replace(
        Features.of(installed.version),
        canary_list=installed.has("canary"),
        storage_uris=installed.has("predictor.storageUris"),
    )


def title(cluster: Cluster, installed: Installed | None) -> str:
    """`kubeflow-user @ context / KServe 0.20`."""
    return f"{cluster.title} / KServe {text(installed.version)}" if installed is not None else cluster.title


def text(version: tuple[int, int]) -> str:
    """`0.20`."""
    return f"{version[0]}.{version[1]}"


def _fields(answer: Answer) -> frozenset[str] | None:
    """Paths of the spec, two names deep and through lists; that is as far as anyone asks."""
    schemas = answer.json.get("components")
    schemas = schemas.get("schemas") if isinstance(schemas, Mapping) else None
    if not answer.ok or not isinstance(schemas, Mapping):
        return None
    for one in schemas.values():
        kinds = one.get("x-kubernetes-group-version-kind") if isinstance(one, Mapping) else None
        if not isinstance(kinds, list) or not any(
            isinstance(kind, Mapping)
            and (kind.get("group"), kind.get("kind")) == (INFERENCE_SERVICES.group, INFERENCE_SERVICES.kind)
            for kind in kinds
        ):
            continue
        spec = _properties(_properties(one).get("spec"))
        found = set(spec)
        for name, inner in spec.items():
            found |= {f"{name}.{deeper}" for deeper in _properties(inner)}
        return frozenset(found) or None
    return None


def _properties(schema: Any) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    found = schema.get("properties")
    if isinstance(found, Mapping):
        return found
    return _properties(schema.get("items"))


def _of_fields(fields: frozenset[str] | None) -> tuple[int, int]:
    for version, mark in _MARKS:
        if fields is not None and ".".join(mark) in fields:
            return version
    return _OLDEST


def _config(cluster: Cluster) -> Mapping[str, Any]:
    """KServe's configuration; most users may not read it."""
    for namespace in _CONFIG_NAMESPACES:
        answer = cluster.request("GET", CONFIG_MAPS.path(namespace, _CONFIG), timeout=10.0)
        data = answer.json.get("data") if answer.ok else None
        if isinstance(data, Mapping):
            return data
    return {}


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(config.get(name) or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _of_config(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """The release that its own images are tagged with."""
    for name in ("storageInitializer", "agent", "router"):
        found = _TAG.search(str(_part(config, name).get("image") or ""))
        if found:
            return int(found[1]), int(found[2])
    return None


def _named(version: str | None) -> tuple[int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)", version or "")
    return (int(found[1]), int(found[2])) if found else None
