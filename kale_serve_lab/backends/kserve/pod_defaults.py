"""The PodDefaults that Kubeflow has put into the notebook's own pod, so that a service can be given them too."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import POD_DEFAULTS, PODS
from kale_serve_lab.errors import NotFound


def of_this_pod(cluster: Cluster, namespace: str, *, pod: str | None = None) -> tuple[dict[str, Any], ...]:
    """Those whose selector matches the labels of `pod` (the one that we run in), by name, as the webhook applies them.

    Raises `NotFound` where we run in no pod of that namespace, `Forbidden` and `ClusterUnavailable`. A cluster without
    Kubeflow has none.
    """
    name = pod or os.environ.get("HOSTNAME") or socket.gethostname()
    answer = cluster.request("GET", POD_DEFAULTS.path(namespace))
    if answer.status == 404:
        return ()
    if not answer.ok:
        raise errors_of(answer, "list", POD_DEFAULTS.what(namespace))
    items = [one for one in answer.json.get("items") or () if isinstance(one, dict)]
    if not items:
        return ()
    found = cluster.request("GET", PODS.path(namespace, name))
    if found.status == 404:
        raise NotFound(
            f"There is no pod {name} in namespace {namespace}, so its PodDefaults are not known.",
            subject=name,
            hint="`propagate_configurations` works from inside a notebook of that namespace; leave it out elsewhere.",
        )
    if not found.ok:
        raise errors_of(found, "get", PODS.what(namespace, name))
    labels = (found.json.get("metadata") or {}).get("labels") or {}
    matching = [one for one in items if selects((one.get("spec") or {}).get("selector"), labels)]
    return tuple(sorted(matching, key=lambda one: str(one["metadata"]["name"])))


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a Kubernetes label selector holds for these labels. An empty one selects all, none selects nothing."""
    if not isinstance(selector, Mapping):
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression.get("key"), expression.get("values") or ()
    there = key in labels
    match expression.get("operator"):
        case "In":
            return there and labels[str(key)] in values
        case "NotIn":
            return not there or labels[str(key)] not in values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
    return False
