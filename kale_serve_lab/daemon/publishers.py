"""Which publisher is meant by the settings of a cluster's store, and what of it no service uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kale_serve_lab.backends.kserve.cluster import Cluster
from kale_serve_lab.backends.kserve.cluster_errors import errors_of
from kale_serve_lab.backends.kserve.hydration import Objects, sweep
from kale_serve_lab.backends.kserve.settings import StoreSettings
from kale_serve_lab.backends.kserve.snapshots import Component, SnapshotPublisher
from kale_serve_lab.errors import Forbidden, InvalidConfig
from kale_serve_lab.serving.kserve.publishing import Publisher
from kale_serve_lab.stores.published import Published, unused
from kale_serve_lab.stores.pvc import PvcPublisher, pvc_settings
from kale_serve_lab.stores.s3 import S3Publisher
from kale_serve_lab.stores.s3_client import S3Settings, s3_settings
from kale_serve_lab.stores.s3_secret import account_findings, secret_findings

_NO_STORE = (
    "Name one by `kale-serve cluster set --store s3://bucket/prefix`; docs/cluster.md shows the other kinds."
)

_SNAPSHOT_PREFIX = "kale-serve"


@dataclass(frozen=True)
class Checked:
    """What `cluster check` says of the store: what was found well, what the cluster lacks for reading it, and what is not there at all."""

    well: tuple[str, ...]
    findings: tuple[str, ...]
    missing: tuple[str, ...] = ()


def publisher_of(
    store: StoreSettings | None, cluster: Cluster, namespace: str, service: str, component: str
) -> Publisher:
    """The publisher for one component of a service. Raises `InvalidConfig` where no store is set, or one that cannot be meant.

    Nothing is connected to yet. With snapshots, call `hydration.adopt` after the InferenceService has been applied.
    """
    kept = store_of(store)
    if store is None or store.kind != "snapshot":
        return kept
    return SnapshotPublisher(
        cluster,
        kept,
        store.claim or "",
        Component(namespace, service, component),
        snapshot_class=store.snapshot_class,
        storage_class=store.storage_class,
    )


def store_of(store: StoreSettings | None) -> S3Publisher | PvcPublisher:
    """Where the files lie, whichever component they are for. Raises `InvalidConfig`."""
    if store is None:
        raise InvalidConfig(
            "No store is set for the cluster: the model's files have no way there.",
            subject="store",
            hint=_NO_STORE,
        )
    if store.kind == "s3":
        return S3Publisher(_s3(store))
    # A claim that is snapshotted is a notebook's own home: what we put there has a folder of its own.
    prefix = store.prefix or (_SNAPSHOT_PREFIX if store.kind == "snapshot" else None)
    return PvcPublisher(pvc_settings(store.claim, store.mounted, prefix, store.service_account))


def check(store: StoreSettings | None, cluster: Cluster | None) -> Checked:
    """Try the store from here, and look what the cluster has for reading it. Raises what fails from here."""
    kept = store_of(store)
    assert store is not None
    try:
        well = kept.check()
    finally:
        kept.close()
    if cluster is None:
        return Checked(tuple(well), ())
    findings: list[str] = []
    missing: list[str] = []

    def look(resource: str, name: str, judge: Callable[[Mapping[str, Any]], list[str]]) -> None:
        answer = cluster.request("GET", f"/api/v1/namespaces/{cluster.namespace}/{resource}/{name}")
        if answer.status == 404:
            missing.append(f"There is no {resource[:-1]} {name} in {cluster.namespace}.")
        elif not answer.ok:
            findings.append(
                f"The {resource[:-1]} {name} cannot be looked at (HTTP {answer.status}): it is taken on trust."
            )
        else:
            findings.extend(judge(answer.json))

    if store.kind == "s3":
        settings = _s3(store)
        if store.secret is not None:
            look("secrets", store.secret, lambda found: secret_findings(found, settings))
        if store.service_account is not None:
            look("serviceaccounts", store.service_account, lambda found: account_findings(found, settings))
    else:
        look("persistentvolumeclaims", store.claim or "", lambda _: [])
    return Checked(tuple(well), tuple(findings), tuple(missing))


def services_of(cluster: Cluster, *, only_namespace: bool = False) -> list[dict[str, Any]]:
    """The InferenceServices of all namespaces, or of the own one. Raises `Forbidden`: what cannot be seen may be in use."""
    base = "/apis/serving.kserve.io/v1beta1"
    path = f"{base}/namespaces/{cluster.namespace}" if only_namespace else base
    where = cluster.namespace if only_namespace else "of all namespaces"
    found: list[dict[str, Any]] = []
    more: str | None = None
    while True:
        answer = cluster.request("GET", f"{path}/inferenceservices", query={"limit": 500, "continue": more})
        if answer.status == 403 and not only_namespace:
            raise Forbidden(
                "Which models the services of other namespaces use cannot be seen: nothing is said to be unused.",
                subject="inferenceservices",
                hint="Ask for the right to list inferenceservices.serving.kserve.io in all namespaces; or, where nobody else "
                "reads this store, add --only-namespace.",
            )
        if not answer.ok:
            raise errors_of(answer, "list", f"inferenceservices {where}")
        found += answer.json.get("items") or []
        more = (answer.json.get("metadata") or {}).get("continue")
        if not more:
            return found


def prune_claims(store: StoreSettings | None, cluster: Cluster) -> list[str]:
    """Remove claims and snapshots of ours that no service of the own namespace uses; what was removed."""
    if store is None or store.kind != "snapshot":
        return []
    return sweep(Objects(cluster, cluster.namespace))


def prunable(store: StoreSettings | None, services: Iterable[Any]) -> list[Published]:
    """What lies in the store and no service names.

    `services` are the InferenceServices of **all** namespaces that read it, and whatever the daemon itself still means to serve.
    """
    kept = store_of(store)
    try:
        return unused(kept.published(), services)
    finally:
        kept.close()


def prune(store: StoreSettings | None, what: Iterable[Published]) -> int:
    """Remove it, and the parts that uploads left behind a day ago; bytes that were removed."""
    kept = store_of(store)
    freed = 0
    try:
        for one in what:
            kept.remove(one.digest, one.view)
            freed += one.size
        if isinstance(kept, S3Publisher):
            kept.abort_orphans()
    finally:
        kept.close()
    return freed


def _s3(store: StoreSettings) -> S3Settings:
    return s3_settings(
        store.url,
        endpoint=store.endpoint,
        region=store.region,
        secret=store.secret,
        service_account=store.service_account,
        addressing=store.addressing,
    )
