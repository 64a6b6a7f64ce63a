"""The storage of the cluster: claims are bound, snapshots become ready, when a test wants them to."""

from __future__ import annotations

import re

from .kinds import SNAPSHOT, named
from .store import now

CLAIMS, SNAPSHOTS = named("persistentvolumeclaims"), named("volumesnapshots")


class Storage:
    """Binds claims and makes snapshots ready; `binds`/`snapshots`: True, or False to wait for `bind()`/`ready()`."""

    def __init__(self, store, api):
        self.store = store
        self.api = api
        self.binds = True
        self.snapshots = True
        self.restore_size: str | None = None
        self.snapshot_error: str | None = None

    def written(self, resource, obj):
        if resource is CLAIMS:
            if obj["metadata"].get("deletionTimestamp"):
                self.api.lift(CLAIMS, obj, "kubernetes.io/pvc-protection")
            elif self.binds:
                self.bind(obj["metadata"]["namespace"], obj["metadata"]["name"])
        elif resource is SNAPSHOTS and not obj["metadata"].get("deletionTimestamp"):
            if self.snapshot_error:
                self.fail(obj["metadata"]["namespace"], obj["metadata"]["name"], self.snapshot_error)
            elif self.snapshots:
                self.ready(obj["metadata"]["namespace"], obj["metadata"]["name"])
            self._waiting_claims(obj["metadata"]["namespace"])

    def bind(self, namespace, name):
        """Bound, unless it waits for a snapshot that is not ready or not there."""
        with self.store.lock:
            claim = self.store.get(CLAIMS, namespace, name)
            if claim is None or claim.get("status", {}).get("phase") == "Bound":
                return
            source = claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource")
            size = claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1Gi")
            if source and source.get("apiGroup") == SNAPSHOT:
                snapshot = self.store.get(SNAPSHOTS, namespace, source["name"])
                if snapshot is None or not (snapshot.get("status") or {}).get("readyToUse"):
                    return
                restore = snapshot["status"].get("restoreSize")
                if restore and number(size) < number(restore):
                    return
            spec = {**claim["spec"], "volumeName": f"pvc-{claim['metadata']['uid']}"}
            status = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": {"storage": size}}
            self.store.put(CLAIMS, {**claim, "spec": spec, "status": status})

    def _waiting_claims(self, namespace):
        if self.binds:
            for (place, name), _ in list(self.store.all(CLAIMS).items()):
                if place == namespace:
                    self.bind(namespace, name)

    def ready(self, namespace, name, restore_size=None):
        with self.store.lock:
            snapshot = self.store.get(SNAPSHOTS, namespace, name)
            if snapshot is None or (snapshot.get("status") or {}).get("readyToUse"):
                return
            claim = self.store.get(
                CLAIMS, namespace, (snapshot["spec"].get("source") or {}).get("persistentVolumeClaimName")
            )
            if claim is None:
                return
            size = restore_size or self.restore_size or claim["spec"]["resources"]["requests"]["storage"]
            status = {
                "boundVolumeSnapshotContentName": f"snapcontent-{snapshot['metadata']['uid']}",
                "creationTime": now(),
                "readyToUse": True,
                "restoreSize": size,
            }
            self.store.put(SNAPSHOTS, {**snapshot, "status": status})
            self._waiting_claims(namespace)

    def fail(self, namespace, name, message):
        with self.store.lock:
            snapshot = self.store.get(SNAPSHOTS, namespace, name)
            status = {"readyToUse": False, "error": {"message": message, "time": now()}}
            self.store.put(SNAPSHOTS, {**snapshot, "status": status})


def number(quantity):
    """A Kubernetes quantity as a number."""
    match = re.fullmatch(r"([+-]?[0-9.]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?", str(quantity))
    value, unit = float(match[1]), match[2] or ""
    if unit == "m":
        return value / 1000
    if unit[:1] in ("e", "E") and unit[1:]:
        if unit == "Ei":
            return value * 2**60
        return value * 10 ** int(unit[1:])
    if unit.endswith("i"):
        return value * 1024 ** ("KMGTPE".index(unit[0]) + 1)
    return value * (1000 ** ("kMGTPE".index(unit) + 1) if unit else 1)
