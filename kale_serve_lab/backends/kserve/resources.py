"""The kinds of objects that we use: their paths, their names in rights, and what of them is kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Resource:
    """One kind, as the API server's paths and its rights name it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    keep_managers: bool = False

    def path(self, namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
        """`/apis/group/version/namespaces/ns/plural/name/sub`; nothing in a name leads elsewhere."""
        pieces = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            pieces += ["namespaces", namespace]
        pieces.append(self.plural)
        if name is not None:
            pieces.append(name)
            if sub is not None:
                pieces.append(sub)
        return "/" + "/".join(_segment(one) for one in pieces)

    def what(self, namespace: str | None, name: str | None = None) -> str:
        """How errors name it: `inferenceservice ns/name`, `inferenceservices ns`."""
        place = namespace if self.namespaced and namespace else ""
        if name is None:
            return f"{self.plural} {place}".rstrip()
        return f"{self.kind.lower()} {place}/{name}" if place else f"{self.kind.lower()} {name}"

    def compact(self, given: dict[str, Any]) -> dict[str, Any]:
        """The object without what nobody here reads: what kubectl last applied, and who manages which field.

        With `keep_managers` the managers of the spec stay, so that an edit can be laid to somebody.
        """
        metadata = given.get("metadata")
        if not isinstance(metadata, dict):
            return given
        kept = {key: value for key, value in metadata.items() if key != "managedFields"}
        annotations = kept.get("annotations")
        if isinstance(annotations, Mapping) and _LAST_APPLIED in annotations:
            kept["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
        if self.keep_managers:
            managers = [
                one for one in metadata.get("managedFields") or () if one.get("subresource") != "status"
            ]
            if managers:
                kept["managedFields"] = managers
        return {**given, "metadata": kept}


def _segment(text: str) -> str:
    # A lone "." or ".." is a way upwards for whoever tidies paths.
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


INFERENCE_SERVICES = Resource(
    "serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService", keep_managers=True
)
SERVING_RUNTIMES = Resource("serving.kserve.io", "v1alpha1", "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIMES = Resource(
    "serving.kserve.io", "v1alpha1", "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
SNAPSHOTS = Resource("snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot")
POD_DEFAULTS = Resource("kubeflow.org", "v1alpha1", "poddefaults", "PodDefault")
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
