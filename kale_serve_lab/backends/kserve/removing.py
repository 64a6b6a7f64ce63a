"""A service taken away from the cluster: its object in the foreground, so that what belongs to it goes first."""

from __future__ import annotations

from kale_serve_lab.backends.kserve import applying
from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.resources import INFERENCE_SERVICES
from kale_serve_lab.errors import Forbidden
from kale_serve_lab.serving.kserve.marks import is_managed
from kale_serve_lab.serving.types import ServiceKey


def begin(cluster: Cluster, key: ServiceKey, uid: str | None) -> bool:
    """Ask for its deletion; whether something of it is there still. An object of the name that is not ours is left alone.

    `uid` is that of our object; None: whatever Kale made of that name. Raises `Forbidden`, `ClusterUnavailable`.
    """
    there = applying.get(cluster, key)
    if there is None:
        return False
    metadata = there.get("metadata") or {}
    if not is_managed(there) or (uid is not None and metadata.get("uid") != uid):
        return False
    if metadata.get("deletionTimestamp"):
        return True
    answer = cluster.request(
        "DELETE",
        INFERENCE_SERVICES.path(key.namespace, key.name),
        body={
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": metadata.get("uid")},
        },
    )
    # 409: another object has come in its place meanwhile, which is not ours.
    if answer.status in {404, 409}:
        return False
    if not answer.ok:
        raise errors_of(
            answer,
            "delete",
            INFERENCE_SERVICES.what(key.namespace, key.name),
            group=INFERENCE_SERVICES.group,
            resource=INFERENCE_SERVICES.plural,
        )
    return True


def not_ours(key: ServiceKey) -> Forbidden:
    """What is answered to changing another's object."""
    return Forbidden(
        f"Kale did not make the inferenceservice {key}, so it is neither changed nor deleted from here.",
        subject=f"inferenceservice {key}",
        hint=f"`kubectl delete inferenceservice {key.name} -n {key.namespace}` deletes it.",
    )
