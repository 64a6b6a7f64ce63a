"""Which resources the fake holds, and how their paths read."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = True

    @property
    def api_version(self):
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self):
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self):
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def custom(self):
        """Whether a CRD serves it; its lists' items carry apiVersion and kind, and it knows no strategic merge."""
        return self.group in CUSTOM


CUSTOM = ("serving.kserve.io", "snapshot.storage.k8s.io", "kubeflow.org")
KSERVE = "serving.kserve.io"
SNAPSHOT = "snapshot.storage.k8s.io"

ALL = (
    Resource("", "v1", "pods", "Pod"),
    Resource("", "v1", "events", "Event", has_status=False),
    Resource("", "v1", "services", "Service"),
    Resource("", "v1", "secrets", "Secret", has_status=False),
    Resource("", "v1", "configmaps", "ConfigMap", has_status=False),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", has_status=False),
    Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    Resource("", "v1", "nodes", "Node", namespaced=False),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("apps", "v1", "replicasets", "ReplicaSet"),
    Resource("events.k8s.io", "v1", "events", "Event", has_status=False),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False, has_status=False),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", has_status=False),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", has_status=False),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
    ),
    Resource(KSERVE, "v1beta1", "inferenceservices", "InferenceService"),
    Resource(KSERVE, "v1alpha1", "servingruntimes", "ServingRuntime"),
    Resource(KSERVE, "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False),
    Resource(KSERVE, "v1alpha1", "inferencegraphs", "InferenceGraph"),
    Resource(KSERVE, "v1alpha1", "trainedmodels", "TrainedModel"),
    Resource(SNAPSHOT, "v1", "volumesnapshots", "VolumeSnapshot"),
    Resource(
        SNAPSHOT, "v1", "volumesnapshotclasses", "VolumeSnapshotClass", namespaced=False, has_status=False
    ),
    Resource(SNAPSHOT, "v1", "volumesnapshotcontents", "VolumeSnapshotContent", namespaced=False),
    Resource("kubeflow.org", "v1alpha1", "poddefaults", "PodDefault"),
)
REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
BY_PATH = {(r.group, r.version, r.plural): r for r in (*ALL, REVIEWS)}
BY_KIND = {(r.api_version, r.kind): r for r in ALL}


def named(plural, group=None):
    """The resource of a plural name: `named("pods")`."""
    for resource in (*ALL, REVIEWS):
        if resource.plural == plural and (group is None or resource.group == group):
            return resource
    raise KeyError(plural)


@dataclasses.dataclass(frozen=True)
class Target:
    """What a path names: a collection (`name` None), an object, or a part of it (`subresource`, and what follows)."""

    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str | None
    rest: str | None


def target(path):
    """Parse a resource path; None if it is none that the fake serves. `path` is decoded, but for what follows a proxy."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = None
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        namespace, parts = parts[1], parts[2:]
    resource = BY_PATH.get((group, version, parts[0]))
    if resource is None:
        return None
    if namespace is not None and not resource.namespaced:
        return None
    name = parts[1] if len(parts) > 1 else None
    subresource = parts[2] if len(parts) > 2 else None
    rest = "/".join(parts[3:]) if len(parts) > 3 else None
    if name is not None and namespace is None and resource.namespaced:
        return None
    return Target(resource, namespace, name, subresource, rest)
