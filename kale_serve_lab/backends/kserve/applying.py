"""An InferenceService sent to the API server: server-side apply with our field manager, strict, and never over another's work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kale_serve_lab.backends.kserve.cluster import APPLY, MERGE, Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import INFERENCE_SERVICES
from kale_serve_lab.errors import KaleServeError, NameTaken
from kale_serve_lab.serving.kserve.marks import FIELD_MANAGER, STOP, is_managed
from kale_serve_lab.serving.types import ServiceKey


def get(cluster: Cluster, key: ServiceKey) -> dict[str, Any] | None:
    """The object as it is now; None where there is none. Raises our errors."""
    answer = cluster.request("GET", INFERENCE_SERVICES.path(key.namespace, key.name))
    if answer.status == 404 and (answer.json.get("details") or {}).get("name"):
        return None
    if not answer.ok:
        raise _error(answer, "get", key)
    return answer.json


def apply(
    cluster: Cluster, key: ServiceKey, wanted: Mapping[str, Any], *, overwrite: bool, dry_run: bool = False
) -> dict[str, Any]:
    """Send it, and what the cluster made of it. `overwrite` takes the fields that others hold, and others' objects.

    Raises `NameTaken` where the name is somebody else's, `Conflict` where others hold fields, `InvalidConfig` where schema
    or webhooks refuse, `Forbidden`, and `ClusterUnavailable`.
    """
    there = get(cluster, key)
    if there is not None and not is_managed(there) and not overwrite:
        raise taken(key, there)
    query: dict[str, str | int | bool | None] = {
        "fieldManager": FIELD_MANAGER,
        "fieldValidation": "Strict",
        "force": overwrite,
    }
    if dry_run:
        query["dryRun"] = "All"
    answer = cluster.request(
        "PATCH",
        INFERENCE_SERVICES.path(key.namespace, key.name),
        query=query,
        body=wanted,
        content_type=APPLY,
    )
    if not answer.ok:
        raise _error(answer, "apply", key)
    return answer.json


def toggle(cluster: Cluster, key: ServiceKey, *, paused: bool) -> dict[str, Any]:
    """Set or drop KServe's annotation that lets a service rest. Raises our errors."""
    body = {"metadata": {"annotations": {STOP: "true" if paused else None}}}
    answer = cluster.request(
        "PATCH",
        INFERENCE_SERVICES.path(key.namespace, key.name),
        query={"fieldManager": FIELD_MANAGER},
        body=body,
        content_type=MERGE,
    )
    if not answer.ok:
        raise _error(answer, "patch", key)
    return answer.json


def with_stop(wanted: Mapping[str, Any], *, paused: bool) -> dict[str, Any]:
    """The object as it is sent while the service rests."""
    metadata = dict(wanted.get("metadata") or {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != STOP}
    if paused:
        annotations[STOP] = "true"
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def taken(key: ServiceKey, there: Mapping[str, Any]) -> NameTaken:
    """The name is that of an object which Kale did not make."""
    manager = next(
        (
            str(one.get("manager"))
            for one in (there.get("metadata") or {}).get("managedFields") or ()
            if one.get("manager") and one.get("subresource") != "status"
        ),
        None,
    )
    by = f" (made by {manager})" if manager else ""
    return NameTaken(
        f"There is an inferenceservice {key} on the cluster already that Kale did not make{by}.",
        subject=f"inferenceservice {key}",
        hint="Choose another name, or take it over by `overwrite=True`.",
    )


def _error(answer: Any, verb: str, key: ServiceKey) -> KaleServeError:
    what = INFERENCE_SERVICES.what(key.namespace, key.name)
    return errors_of(answer, verb, what, group=INFERENCE_SERVICES.group, resource=INFERENCE_SERVICES.plural)
