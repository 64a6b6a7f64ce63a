"""Artifacts that lie in Rok: nothing is sent, a claim is made that Rok fills."""

from __future__ import annotations

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.hydration import Objects, ensure_claim
from kale_serve_lab.backends.kserve.snapshots import Component
from kale_serve_lab.serving.kserve import volumes
from kale_serve_lab.serving.kserve.publishing import Cancelled, Placed, Volume


def rok_uri(of: Component, uri: str) -> str:
    """The `storageUri` that a `rok:` address gets; raises `InvalidRequest` for what is none."""
    found = volumes.parse_rok(uri)
    return "/".join(("pvc:/", _name(of, found), found.path)).rstrip("/")


def hydrate_rok(
    cluster: Cluster,
    of: Component,
    uri: str,
    size: int,
    cancelled: Cancelled = lambda: False,
    *,
    seconds: float = 600.0,
    patience: float = 20.0,
) -> Placed:
    """A claim of `size` bytes annotated with its origin, of the class `rok`, bound. After the apply: `hydration.adopt`."""
    found = volumes.parse_rok(uri)
    objects = Objects(cluster, of.namespace, cancelled, seconds=seconds, patience=patience)
    name = _name(of, found)
    digest = name.rpartition("-")[2]
    body = volumes.claim_from_rok(name, found, volumes.labels(of.service, of.component, digest), size)
    ensure_claim(objects, of.service, body, lambda claim: volumes.is_from_rok(claim, found))
    return Placed(rok_uri(of, uri), volume=Volume(name))


def _name(of: Component, found: volumes.Rok) -> str:
    return volumes.object_name(of.service, of.component, found.origin)
