"""What the API server fills in for its own kinds, and what it drops in silence."""

from __future__ import annotations

import base64
import copy

from .kinds import named

PODS, CLAIMS, SERVICES = named("pods"), named("persistentvolumeclaims"), named("services")


def default_core(resource, new, old):
    """What the API server itself fills in for its own kinds, and drops."""
    if resource is CLAIMS and old is None:
        spec = dict(new.get("spec") or {})
        source = spec.get("dataSource")
        if source and not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
            del spec["dataSource"]
        elif source and "dataSourceRef" not in spec:
            spec["dataSourceRef"] = copy.deepcopy(source)
        elif (
            "dataSourceRef" in spec
            and "dataSource" not in spec
            and not spec["dataSourceRef"].get("namespace")
        ):
            spec["dataSource"] = copy.deepcopy(spec["dataSourceRef"])
        spec.setdefault("volumeMode", "Filesystem")
        metadata = {**new["metadata"]}
        if "kubernetes.io/pvc-protection" not in metadata.get("finalizers", ()):
            metadata["finalizers"] = [*metadata.get("finalizers", ()), "kubernetes.io/pvc-protection"]
        return {**new, "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
    if resource is named("secrets"):
        data = dict(new.get("data") or {})
        for key, value in (new.get("stringData") or {}).items():
            data[key] = base64.b64encode(value.encode()).decode()
        new = {k: v for k, v in new.items() if k != "stringData"}
        return {**new, "data": data, "type": new.get("type") or "Opaque"}
    if resource is SERVICES:
        spec = {"type": "ClusterIP", "sessionAffinity": "None", **(new.get("spec") or {})}
        return {**new, "spec": spec, "status": new.get("status") or {"loadBalancer": {}}}
    if resource is PODS and old is None:
        return {**new, "status": new.get("status") or {"phase": "Pending", "qosClass": "BestEffort"}}
    return new
