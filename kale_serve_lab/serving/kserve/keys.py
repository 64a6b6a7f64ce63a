"""Python's names of Kubernetes' fields: `config_map_key_ref` is `configMapKeyRef`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Their keys are the user's own words.
_OPEN = frozenset({
    "annotations", "labels", "limits", "requests", "matchLabels", "nodeSelector", "parameters", "volumeAttributes", "data",
    "stringData", "metadataAnnotations",
})  # fmt: skip
_ODD = {
    "storage_uri": "storageUri",
    "host_ipc": "hostIPC",
    "host_pid": "hostPID",
    "cluster_ip": "clusterIP",
    "host_ip": "hostIP",
    "pod_ip": "podIP",
    "set_hostname_as_fqdn": "setHostnameAsFQDN",
    "volume_id": "volumeID",
}


def camel(key: str) -> str:
    """`scale_target` and `scaleTarget` both give `scaleTarget`."""
    return _ODD.get(key) or re.sub(r"_([a-zA-Z0-9])", lambda found: found[1].upper(), key)


def camelled(value: Any) -> Any:
    """The value with all keys as Kubernetes writes them, but for those that are data."""
    if isinstance(value, Mapping):
        found = {}
        for key, inner in value.items():
            name = camel(str(key))
            found[name] = plain(inner) if name in _OPEN else camelled(inner)
        return found
    if isinstance(value, list | tuple):
        return [camelled(one) for one in value]
    return value


def plain(value: Any) -> Any:
    """Dicts and lists of its own, so that what is built shares nothing with what was given."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value
